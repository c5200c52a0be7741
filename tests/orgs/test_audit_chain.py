"""The chain of the audit log: made by the database, verified by `manage.py verify_audit`."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from orgs import audit, audit_chain, roles, walls
from orgs.models import AuditEntry, AuditHead, Organization, User
from tests.conftest import make_user
from tests.processes import database_url
from tests.waiting import wait_until


def note(org: Organization | None, user: User | None, *targets: str) -> list[AuditEntry]:
    return [audit.record(org=org, user=user, action="thing.do", target=target) for target in targets]


def sql(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


@contextmanager
def unguarded() -> Iterator[None]:
    """As somebody who owns the database may do it."""
    for table in ("orgs_auditentry", "orgs_audithead"):
        sql(f"ALTER TABLE {table} DISABLE TRIGGER refuse")
    yield
    for table in ("orgs_auditentry", "orgs_audithead"):
        sql(f"ALTER TABLE {table} ENABLE TRIGGER refuse")


def verified(*arguments: str) -> tuple[str, str]:
    """What the command says, and what of it are complaints."""
    out, errors = io.StringIO(), io.StringIO()
    try:
        call_command("verify_audit", *arguments, stdout=out, stderr=errors)
    except CommandError as error:
        errors.write(str(error))
    return out.getvalue(), errors.getvalue()


@pytest.fixture
def five(acme: Organization, globex: Organization, alice: User) -> list[AuditEntry]:
    note(globex, None, "theirs")
    return note(acme, alice, "one", "two", "three", "four", "five")


class TestTheChain:
    def test_each_entry_follows_from_the_one_before(self, five: list[AuditEntry]) -> None:
        assert [one.seq for one in five] == [1, 2, 3, 4, 5]
        assert [one.prev_hash for one in five] == ["", *(one.hash for one in five[:-1])]
        assert len({one.hash for one in five}) == 5
        head = AuditHead.objects.get(pk=five[0].org_id)
        assert (head.seq, head.hash) == (5, five[-1].hash)

    def test_the_platform_has_a_chain_of_its_own(self, five: list[AuditEntry]) -> None:
        assert [one.seq for one in note(None, None, "one", "two")] == [1, 2]

    def test_what_a_writer_claims_is_overwritten(self, acme: Organization) -> None:
        forged = AuditEntry.objects.create(
            org=acme, actor="x", action="x.do", seq=77, prev_hash="p", hash="h" * 64
        )
        forged.refresh_from_db()
        assert (forged.seq, forged.prev_hash) == (1, "")
        assert forged.hash != "h" * 64

    def test_the_hash_is_of_every_column(self, five: list[AuditEntry], acme: Organization) -> None:
        other = {
            "id": 10**9, "org": None, "user": None, "actor": "x", "action": "x", "target": "x", "details": {"x": 1},
            "key_id": 1, "ip": "10.0.0.1", "request_id": "x", "at": datetime(2020, 1, 1, tzinfo=UTC), "seq": 99,
            "prev_hash": "x",
        }  # fmt: skip
        assert set(other) == {field.name for field in AuditEntry._meta.fields} - {"hash"}
        for name, value in other.items():
            with unguarded(), transaction.atomic():
                AuditEntry.objects.filter(pk=five[2].pk).update(**{name: value})
                assert "broken" in verified()[1], name
                transaction.set_rollback(True)

    def test_the_hash_knows_no_settings_of_a_session(self, five: list[AuditEntry]) -> None:
        sql("SET LOCAL TimeZone = 'Asia/Tokyo'")
        sql("SET LOCAL DateStyle = 'SQL, DMY'")
        sql("SET LOCAL IntervalStyle = 'sql_standard'")
        assert verified()[1] == ""


class TestTheDatabaseRefuses:
    def test_a_change(self, five: list[AuditEntry]) -> None:
        with pytest.raises(DatabaseError, match="takes new entries only: UPDATE on orgs_auditentry"):
            AuditEntry.objects.filter(pk=five[0].pk).update(target="x")

    def test_a_deletion(self, five: list[AuditEntry]) -> None:
        with pytest.raises(DatabaseError, match="takes new entries only: DELETE on orgs_auditentry"):
            AuditEntry.objects.filter(pk=five[0].pk).delete()

    def test_another_head(self, five: list[AuditEntry]) -> None:
        with pytest.raises(DatabaseError, match="takes new entries only: UPDATE on orgs_audithead"):
            AuditHead.objects.filter(pk=five[0].org_id).update(seq=1)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE orgs_auditentry SET target = 'x'",
            "DELETE FROM orgs_auditentry",
            "TRUNCATE orgs_auditentry",
            "UPDATE orgs_audithead SET seq = 1",
            "DELETE FROM orgs_audithead",
            "INSERT INTO orgs_audithead VALUES (12345, 0, '')",
        ],
    )
    def test_the_role_of_requests_may_not_even_try(self, five: list[AuditEntry], statement: str) -> None:
        with walls.request(), walls.everything(), pytest.raises(DatabaseError, match="permission denied"):
            sql(statement)

    def test_the_role_of_requests_adds_entries(self, acme: Organization, alice: User) -> None:
        with walls.request():
            walls.narrow(acme.pk)
            assert [one.seq for one in note(acme, alice, "one", "two")] == [1, 2]
            assert note(None, alice, "beyond its wall")[0].seq == 1
        assert verified()[1] == ""


class TestVerify:
    def test_untouched(self, five: list[AuditEntry], acme: Organization) -> None:
        said, complaints = verified()
        assert complaints == ""
        assert f"organisation {acme.pk} (Acme): unbroken; last entry {acme.pk}:5:{five[-1].hash}" in said
        assert "(Globex)" in said
        assert "(Globex)" not in verified("--org", "Acme")[0]
        assert verified("--org", str(acme.pk)) == verified("--org", "Acme")

    def test_an_edited_entry(self, five: list[AuditEntry], acme: Organization) -> None:
        with unguarded():
            AuditEntry.objects.filter(pk=five[1].pk).update(details={"to": "nothing"})
        said, complaints = verified()
        assert f"organisation {acme.pk} (Acme): entry 2 (id {five[1].pk}) was edited." in complaints
        assert "1 of 2 chains are broken" in complaints
        assert "(Globex): unbroken" in said
        assert verified("--org", "Globex")[1] == ""

    def test_an_edited_entry_with_a_new_hash(self, five: list[AuditEntry]) -> None:
        with unguarded():
            sql("UPDATE orgs_auditentry SET target = 'x' WHERE id = %s", five[1].pk)
            sql("UPDATE orgs_auditentry e SET hash = orgs_audit_hash(e) WHERE id = %s", five[1].pk)
        assert "entry 3" in verified()[1]

    def test_a_deleted_entry(self, five: list[AuditEntry]) -> None:
        with unguarded():
            AuditEntry.objects.filter(pk=five[2].pk).delete()
        assert "entry 3 is missing." in verified()[1]

    def test_deleted_entries_at_the_end(self, five: list[AuditEntry]) -> None:
        with unguarded():
            AuditEntry.objects.filter(seq__gt=3).delete()
        assert "entry 4 to 5 is missing at the end." in verified()[1]

    def test_exchanged_entries(self, five: list[AuditEntry]) -> None:
        first, second = five[1].pk, five[2].pk
        with unguarded():
            sql("UPDATE orgs_auditentry SET seq = -seq WHERE id IN (%s, %s)", first, second)
            sql("UPDATE orgs_auditentry SET seq = 5 + seq WHERE id IN (%s, %s)", first, second)
        assert "was edited" in verified()[1]

    def test_a_deleted_head(self, five: list[AuditEntry]) -> None:
        with unguarded():
            AuditHead.objects.filter(pk=five[0].org_id).delete()
        assert "the head of the chain is missing." in verified()[1]

    def test_a_chain_that_was_cut_with_its_head_is_told_by_what_was_kept(
        self, five: list[AuditEntry], acme: Organization
    ) -> None:
        kept = f"{acme.pk}:5:{five[-1].hash}"
        assert verified("--expect", kept)[1] == ""
        with unguarded():
            AuditEntry.objects.filter(seq=5).delete()
            AuditHead.objects.filter(pk=acme.pk).update(seq=4, hash=five[3].hash)
        assert verified()[1] == ""
        assert "entry 5 is expected and missing." in verified("--expect", kept)[1]
        note(acme, None, "another")
        assert "entry 5 is not the one that is expected." in verified("--expect", kept)[1]

    def test_a_chain_that_is_gone(self, five: list[AuditEntry], acme: Organization) -> None:
        with unguarded():
            sql("DELETE FROM orgs_auditentry")
            sql("DELETE FROM orgs_audithead")
        assert verified() == ("There are no audit entries.\n", "")
        assert "missing" in verified("--expect", f"{acme.pk}:5:{five[-1].hash}")[1]

    def test_what_is_not_there(self, five: list[AuditEntry]) -> None:
        assert "there is no organisation 'Initech'" in verified("--org", "Initech")[1]
        assert "expected ORG:SEQ:HASH" in verified("--expect", "5")[1]
        assert "--org another one" in verified("--org", "Acme", "--expect", f"0:1:{'a' * 64}")[1]


def test_entries_outlive_whom_they_are_of(api: Any, acme: Organization, root_admin: User) -> None:
    org, user = Organization.objects.create(name="Initech"), make_user("gone", roles.USER, acme)
    note(org, user, "a")
    note(acme, user, "b")
    left = user.pk
    assert user.delete()[0] == org.delete()[0] == 1
    shown = api(root_admin).get("/orgs/me/audit").json()["results"]
    assert [(one["actor"], one["user_id"]) for one in shown] == [("gone", left), ("gone", left)]
    boss = make_user("boss", roles.ORG_ADMIN, acme)
    [entry] = api(boss).get("/orgs/me/audit").json()["results"]
    assert (entry["actor"], entry["user_id"]) == ("a former member", None)
    assert verified()[1] == ""


def test_many_entries_are_read_in_turns(five: list[AuditEntry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_chain, "_BATCH", 2)
    assert verified()[1] == ""


@pytest.mark.django_db(transaction=True)
class TestSeveralConnections:
    def test_they_take_turns_and_leave_no_gap(self, acme: Organization) -> None:
        together = threading.Barrier(4)

        def add() -> None:
            with psycopg.connect(database_url(), autocommit=True) as own:
                together.wait(10)
                for number in range(25):
                    own.execute(
                        "INSERT INTO orgs_auditentry (org_id, actor, action, target, details) "
                        "VALUES (%s, 'x', 'x.do', '', '{}')",
                        [None if number % 5 == 0 else acme.pk],
                    )

        threads = [threading.Thread(target=add) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        seqs = AuditEntry.objects.filter(org=acme).order_by("seq").values_list("seq", flat=True)
        assert list(seqs) == list(range(1, 81))
        assert verified()[1] == ""

    def test_a_transaction_that_fails_leaves_no_gap(self, acme: Organization) -> None:
        with transaction.atomic():
            note(acme, None, "never")
            transaction.set_rollback(True)
        with transaction.atomic():
            assert note(acme, None, "first")[0].seq == 1

    def test_those_of_two_organisations_do_not_wait_in_a_circle(
        self, acme: Organization, globex: Organization
    ) -> None:
        """Another transaction holds the head of the lower organisation and asks for the higher one, which is free:
        `record_all` has to ask for the lower one first, whatever its order."""
        low, high = sorted((acme, globex), key=lambda org: org.pk)
        with transaction.atomic():
            note(low, None, "a")
            note(high, None, "b")
        lock = "SELECT FROM orgs_audithead WHERE org_id = %s FOR UPDATE"
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"

        def add() -> None:
            try:
                with transaction.atomic():
                    audit.record_all(
                        [audit.Noted(high, None, "org.join"), audit.Noted(low, None, "org.leave")]
                    )
            finally:
                connection.close()

        with (
            psycopg.connect(database_url()) as other,
            psycopg.connect(database_url(), autocommit=True) as look,
        ):
            other.execute(lock, [low.pk])
            thread = threading.Thread(target=add)
            thread.start()
            wait_until(lambda: look.execute(waiting).fetchone() == (1,), 10, "the entries wait")
            other.execute(lock, [high.pk])
            other.commit()
            thread.join(10)
        assert list(AuditEntry.objects.order_by("-id").values_list("action", flat=True)[:2]) == [
            "org.join",
            "org.leave",
        ]
