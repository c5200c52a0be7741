"""What is noted of a request, and GET /orgs/me/audit with its filters."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from orgs import audit, request_facts, roles
from orgs.models import AuditEntry, Organization, User
from orgs.request_facts import RequestFacts
from tests.conftest import PASSWORD, make_user


def asked(client: Any, query: str = "") -> list[Any]:
    answer = client.get(f"/orgs/me/audit{query}")
    assert answer.status_code == 200, answer.content
    return list(answer.json()["results"])


class TestFactsOfARequest:
    def test_address_and_id(self, api: Any, alice: User) -> None:
        client = api(alice)
        sent = client.post("/pauses", {"queue": "default"}, format="json", HTTP_X_REQUEST_ID="trace-7")
        assert (sent.status_code, sent["X-Request-ID"]) == (201, "trace-7")
        [entry] = asked(client)
        assert (entry["ip"], entry["request_id"], entry["key_id"]) == ("127.0.0.1", "trace-7", None)
        assert (entry["seq"], len(entry["hash"])) == (1, 64)

    @pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a\u00e9"])
    def test_an_id_that_was_not_sent_or_is_odd_is_made(self, client: Client, sent: str) -> None:
        given = client.get("/healthz", HTTP_X_REQUEST_ID=sent)["X-Request-ID"]
        assert given != sent
        assert len(given) == 32

    def test_a_socket_of_the_file_system_has_no_address(self, api: Any, alice: User) -> None:
        client = api(alice)
        client.post("/pauses", {"queue": "default"}, format="json", REMOTE_ADDR="")
        assert asked(client)[0]["ip"] is None

    def test_outside_of_a_request_there_are_none(self, acme: Organization, alice: User) -> None:
        entry = audit.record(org=acme, user=alice, action="thing.do")
        assert (entry.ip, entry.request_id, entry.key_id) == (None, "", None)

    def test_the_key(self, acme: Organization, alice: User) -> None:
        with request_facts.during(RequestFacts(ip="10.0.0.1", request_id="r", key_id=7)):
            assert audit.record(org=acme, user=alice, action="thing.do").key_id == 7


class TestLogins:
    def test_by_session(self, client: Client, alice: User) -> None:
        form = {"username": "alice", "password": PASSWORD}
        assert client.post("/dashboard/login/", form).status_code == 302
        assert client.post("/dashboard/logout/").status_code == 302
        noted = AuditEntry.objects.filter(user=alice).order_by("seq")
        assert [(one.org_id, one.action, one.target, one.details) for one in noted] == [
            (alice.org_id, "user.login", "alice", {"by": "session"}),
            (alice.org_id, "user.logout", "alice", {"by": "session"}),
        ]
        assert noted[0].ip == "127.0.0.1"

    def test_of_somebody_without_an_organisation(self, client: Client, root_admin: User) -> None:
        form = {"username": "root_admin", "password": PASSWORD}
        assert client.post("/admin/login/", form).status_code == 302
        assert AuditEntry.objects.get().org is None

    def test_by_token(self, api: Any, alice: User) -> None:
        form = {"username": "alice", "password": PASSWORD}
        assert api(None).post("/auth/login", form, format="json").status_code == 200
        assert AuditEntry.objects.get(action="user.login").details == {"by": "token"}


class TestFilters:
    @pytest.fixture
    def entries(self, acme: Organization, alice: User, bob: User) -> None:
        for request_id, user, action, target in (
            ("r1", alice, "limit.set", "queue mail"),
            ("r1", alice, "limit.remove", "queue mail"),
            ("r2", bob, "limits.other", "Queue web"),
        ):
            with request_facts.during(RequestFacts(ip="10.0.0.1", request_id=request_id)):
                audit.record(org=acme, user=user, action=action, target=target)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("", [3, 2, 1]),
            ("?action=limit.set", [1]),
            ("?action=limit.*", [2, 1]),
            ("?action=limit", []),
            ("?action=%25.*", []),
            ("?target=queue", [3, 2, 1]),
            ("?target=MAIL", [2, 1]),
            ("?target=_", []),
            ("?request_id=r1", [2, 1]),
            ("?request_id=r1&action=limit.set", [1]),
            ("?since=2020-01-01T00:00:00Z", [3, 2, 1]),
            ("?until=2020-01-01T00:00:00Z", []),
            ("?since=2020-01-01T00:00:00%2B05:00&until=2100-01-01T00:00:00Z&page_size=2", [3, 2]),
        ],
    )
    def test_each(self, api: Any, alice: User, entries: None, query: str, found: list[int]) -> None:
        assert [one["seq"] for one in asked(api(alice), query)] == found

    def test_the_edges_of_a_time(self, api: Any, alice: User, entries: None) -> None:
        at = AuditEntry.objects.get(seq=2).at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        assert 2 in [one["seq"] for one in asked(api(alice), f"?since={at}")]
        assert 2 not in [one["seq"] for one in asked(api(alice), f"?until={at}")]

    @pytest.mark.parametrize("query", ["since=yesterday", "until=1", "user=x", "target=" + "x" * 201, "ip=1"])
    def test_what_cannot_be_asked(self, api: Any, alice: User, query: str) -> None:
        answer = api(alice).get(f"/orgs/me/audit?{query}")
        assert answer.status_code == 400
        assert query.partition("=")[0] in answer.json()["error"]["fields"]

    def test_pages(self, api: Any, alice: User, entries: None) -> None:
        first = api(alice).get("/orgs/me/audit?action=limit.*&page_size=1").json()
        second = api(alice).get(first["next"]).json()
        assert [one["seq"] for one in (*first["results"], *second["results"])] == [2, 1]


def test_members_learn_no_address_of_the_platform(
    api: Any, acme: Organization, alice: User, root_admin: User
) -> None:
    with request_facts.during(RequestFacts(ip="10.9.8.7", request_id="r", key_id=5)):
        audit.record(org=acme, user=root_admin, action="org.weight")
    [entry] = asked(api(alice))
    assert (entry["actor"], entry["ip"], entry["key_id"]) == ("the platform", None, None)
    [entry] = asked(api(root_admin))
    assert (entry["actor"], entry["ip"], entry["key_id"]) == ("root_admin", "10.9.8.7", 5)


def test_an_organisation_begins_with_who_made_it(api: Any, db: None) -> None:
    dora = make_user("dora", roles.USER, None)
    assert api(dora).post("/orgs/", {"name": "Initech"}, format="json").status_code == 201
    dora.refresh_from_db()
    [entry] = asked(api(dora))
    assert (entry["action"], entry["actor"], entry["target"], entry["seq"]) == (
        "org.create",
        "dora",
        "Initech",
        1,
    )


def test_a_cancelled_job_with_its_states(api: Any, alice: User, bob: User, submit: Any) -> None:
    mine = submit(bob)
    assert api(bob).post(f"/jobs/{mine.pk}/cancel").status_code == 200
    assert asked(api(alice))[0]["details"] == {"from": "queued", "to": "cancelled"}


def test_a_time_is_given_in_utc(api: Any, acme: Organization, alice: User) -> None:
    audit.record(org=acme, user=alice, action="thing.do")
    at = datetime.fromisoformat(asked(api(alice))[0]["at"])
    assert at.utcoffset() == UTC.utcoffset(None)
