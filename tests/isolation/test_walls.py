"""The wall itself, without the application: what the role of requests reaches in the database."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DataError, IntegrityError, InternalError, ProgrammingError, connection, transaction

from jobs.models import Flow, Job
from orgs import walls
from orgs.models import Organization
from tests.isolation.world import World, reaching, tenant_models

pytestmark = pytest.mark.django_db
OWNED = {model._meta.db_table: condition for model, condition in tenant_models()}
# Of these, rows that name no organisation, or a platform admin, may be read by all.
SHARED = {"jobs_pause", "predictor_trust"}


@pytest.fixture
def acme(worlds: tuple[World, World]) -> World:
    return worlds[0]


@pytest.fixture
def globex(worlds: tuple[World, World]) -> World:
    return worlds[1]


def rows(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall())


def test_the_role_is_held_by_policies() -> None:
    [(superuser, bypass, login)] = rows(
        f"SELECT rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = '{walls.ROLE}'"
    )
    assert (superuser, bypass, login) == (False, False, False)
    owners = rows("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert (walls.ROLE,) not in owners
    above = rows(
        f"SELECT pg_has_role('{walls.ROLE}', tableowner, 'member') FROM pg_tables WHERE schemaname = 'public'"
    )
    assert not any(member for (member,) in above)


def test_every_table_of_an_organisation_has_a_policy() -> None:
    guarded = {
        table
        for (table,) in rows(
            "SELECT c.relname FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid AND p.polcmd = '*'"
            f" WHERE c.relrowsecurity AND p.polroles = ARRAY['{walls.ROLE}'::regrole::oid]"
        )
    }
    columns = rows(
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'org_id'"
    )
    missing = ({table for (table,) in columns} | set(OWNED)) - guarded
    assert not missing, f"{sorted(missing)}: give the table a policy, see orgs/wall_operations.py"


def test_every_policy_of_a_table_is_one_that_is_known() -> None:
    """A second, permissive policy opens what the first one closes."""
    more = rows("SELECT tablename, policyname, cmd FROM pg_policies WHERE policyname <> 'tenant'")
    shared = {(table, "shared", "SELECT") for table in SHARED}
    assert set(more) == shared


@pytest.mark.parametrize("table", sorted(OWNED))
def test_nothing_is_seen_before_it_is_known_who_asks(worlds: tuple[World, World], table: str) -> None:
    with walls.request():
        found = rows(f"SELECT * FROM {table} t WHERE {_of_somebody(table)}")
    assert found == []
    assert rows(f"SELECT 1 FROM {table} t WHERE {_of_somebody(table)}") or table.startswith("orgs_user_")


def _of_somebody(table: str) -> str:
    return "org_id IS NOT NULL" if table in SHARED | {"orgs_user", "orgs_auditentry"} else "true"


@pytest.mark.parametrize("table", sorted(OWNED))
def test_rows_of_others_are_neither_read_nor_changed_nor_taken(
    acme: World, globex: World, table: str
) -> None:
    theirs = f"FROM {table} t WHERE {OWNED[table]}"
    there = len(rows(f"SELECT 1 {theirs}", org=globex.org.pk))
    assert there or table.startswith("orgs_user_")
    with reaching(acme.org.pk):
        assert rows(f"SELECT * {theirs}", org=globex.org.pk) == []
        for statement in (f"DELETE {theirs}", _touch(table)):
            assert _count(statement, globex.org.pk) in {0, None}
    assert len(rows(f"SELECT 1 {theirs}", org=globex.org.pk)) == there


def _touch(table: str) -> str:
    [(column,)] = rows(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %(table)s"
        " AND table_schema = 'public' AND is_identity = 'NO' LIMIT 1",
        table=table,
    )
    return f"UPDATE {table} t SET {column} = {column} WHERE {OWNED[table]}"


def _count(statement: str, org_id: int) -> int | None:
    """How many rows a statement met; None where the role may not send it at all."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, {"org": org_id})
            return int(cursor.rowcount)
    except (ProgrammingError, InternalError):
        return None


@pytest.mark.parametrize("table", sorted(name for name in OWNED if name != "orgs_organization"))
def test_no_row_is_written_for_others(acme: World, globex: World, table: str) -> None:
    """A row that says nothing but whose it is: the wall is asked before any constraint is."""
    with reaching(acme.org.pk), connection.cursor() as cursor, transaction.atomic():
        with pytest.raises(ProgrammingError, match=r"row-level security|permission denied"):
            cursor.execute(_insertion(table), {"org": globex.org.pk, "user": globex.boss.pk})
        transaction.set_rollback(True)


def _insertion(table: str) -> str:
    column = "org_id" if _has(table, "org_id") else "user_id"
    value = "%(org)s" if column == "org_id" else "%(user)s"
    row = f"json_populate_record(null::{table}, json_build_object('{column}', {value}::bigint))"
    return f"INSERT INTO {table} SELECT ({row}).*"


def _has(table: str, column: str) -> bool:
    return bool(
        rows(
            "SELECT 1 FROM information_schema.columns WHERE table_name = %(table)s AND column_name = %(column)s",
            table=table,
            column=column,
        )
    )


def test_own_rows_cannot_be_handed_to_others(acme: World, globex: World) -> None:
    with (
        reaching(acme.org.pk),
        pytest.raises(ProgrammingError, match="row-level security"),
        transaction.atomic(),
    ):
        Flow.objects.filter(org=acme.org).update(org=globex.org)


def test_own_rows_are_reached(acme: World) -> None:
    with reaching(acme.org.pk):
        assert Job.objects.count() == len(acme.jobs)
        assert Job.objects.update(lane="normal") == len(acme.jobs)


def test_several_organisations_are_reached_together(acme: World, globex: World) -> None:
    with reaching(acme.org.pk, globex.org.pk):
        assert Organization.objects.count() == 2
    with walls.request(), walls.everything():
        assert Organization.objects.count() == 2
    with walls.request(), walls.only(None):
        assert Organization.objects.count() == 0


def test_settings_survive_a_savepoint_that_is_rolled_back(acme: World) -> None:
    with reaching(acme.org.pk):
        with pytest.raises(DataError), transaction.atomic():
            rows("SELECT 1 / 0")
        assert Job.objects.count() == len(acme.jobs)
        with transaction.atomic():
            assert Job.objects.count() == len(acme.jobs)
            transaction.set_rollback(True)
        assert Job.objects.count() == len(acme.jobs)
    assert Job.objects.count() > len(acme.jobs)


def test_a_savepoint_does_not_bring_back_what_was_reached_before(acme: World, globex: World) -> None:
    with walls.request(), walls.everything():
        assert Job.objects.count() > len(acme.jobs)
        with transaction.atomic():
            with walls.only(acme.org.pk):
                assert Job.objects.count() == len(acme.jobs)
            transaction.set_rollback(True)
        with walls.only(acme.org.pk):
            assert Job.objects.count() == len(acme.jobs)
            assert Job.objects.filter(org=globex.org).count() == 0


def test_executemany_and_named_cursors_keep_the_wall(acme: World, globex: World) -> None:
    with reaching(acme.org.pk), transaction.atomic():
        assert {job.org_id for job in Job.objects.iterator(chunk_size=2)} == {acme.org.pk}
        with connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE jobs_job SET lane = 'high' WHERE org_id = %s", [[globex.org.pk], [acme.org.pk]]
            )
    assert not Job.objects.filter(org=globex.org, lane="high").exists()
    assert Job.objects.filter(org=acme.org, lane="high").count() == len(acme.jobs)


def test_rows_of_in_a_transaction(acme: World) -> None:
    with reaching(acme.org.pk):
        [(count,)] = walls.rows_of("SELECT count(*) FROM jobs_job WHERE attempt >= %(least)s", {"least": 0})
        assert count == len(acme.jobs)
        with pytest.raises(DataError), transaction.atomic():
            walls.rows_of("SELECT 1 / %(zero)s::int", {"zero": 0})
        assert Job.objects.count() == len(acme.jobs)


def test_web_processes_reach_nothing_outside_of_requests(acme: World) -> None:
    walls.close_by_default()
    try:
        assert Job.objects.count() == 0
        with walls.only(acme.org.pk):
            assert Job.objects.count() == len(acme.jobs)
    finally:
        walls.open_by_default()
    assert Job.objects.count() > 0


LINKS = [
    ("jobs_job", "user_id", "user"),
    ("jobs_job", "flow_id", "flow"),
    ("jobs_job", "replay_of_id", "job"),
    ("jobs_executionlog", "job_id", "job"),
    ("jobs_jobevent", "job_id", "job"),
    ("jobs_logline", "job_id", "job"),
    ("jobs_pause", "created_by_id", "user"),
    ("jobs_replay", "user_id", "user"),
    ("jobs_eta", "job_id", "deadletter"),
    ("orgs_apikey", "user_id", "user"),
    ("orgs_invitation", "created_by_id", "user"),
]


def test_every_link_is_tried() -> None:
    triggers = rows(
        "SELECT t.tgrelid::regclass::text, a.attname FROM pg_trigger t"
        " JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = ANY(t.tgattr)"
        " WHERE t.tgname = 'same_org_updated' AND a.attname <> 'org_id'"
    )
    assert set(triggers) == {(table, column) for table, column, _ in LINKS}


@pytest.mark.parametrize("behind", [False, True], ids=["seen", "behind-the-wall"])
@pytest.mark.parametrize(("table", "column", "named"), LINKS)
def test_a_row_cannot_name_one_of_another_organisation(
    acme: World, globex: World, table: str, column: str, named: str, behind: bool
) -> None:
    parameters = {"org": acme.org.pk, "named": globex.id_of(named), "id": acme.next_id()}
    for statement in (_pointing(table, column), _copying(table, column)):
        with pytest.raises(IntegrityError, match="another organisation"), transaction.atomic():
            _run(reaching(acme.org.pk) if behind else transaction.atomic(), statement, parameters)


def _run(within: Any, statement: str, parameters: dict[str, Any]) -> None:
    with within, connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def _pointing(table: str, column: str) -> str:
    return f"UPDATE {table} SET {column} = %(named)s WHERE org_id = %(org)s"


def _copying(table: str, column: str) -> str:
    """A new row like an own one, but for what it names and for what has to be unique."""
    unique = {
        "idempotency_key": "null",
        "secret_hash": "'new'",
        "attempt": "9",
        "final": "false",
        "queue": "'new'",
    }
    new = {column: "%(named)s", **{name: value for name, value in unique.items() if _has(table, name)}}
    if _has(table, "id"):
        new["id"] = "%(id)s"
    changes = ", ".join(f"'{name}', {value}" for name, value in new.items())
    return (
        f"INSERT INTO {table} SELECT (jsonb_populate_record(t, jsonb_build_object({changes}))).* FROM {table} t "
        "WHERE org_id = %(org)s LIMIT 1"
    )
