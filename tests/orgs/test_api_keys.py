"""API keys of programs: made and shown once, held to their scopes, dead as soon as they should be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient
from rest_framework.views import APIView

from orgs import api_keys, bearers, jwt, roles, tokens
from orgs.api import OpenDoorView
from orgs.exceptions import Conflict, InvalidInput
from orgs.models import ApiKey, AuditEntry, Organization, User
from orgs.scoping import OrgAPIMixin
from smartqueue.openapi import ExplorerView, SchemaView

KEYS = "/orgs/me/keys"
NOOP = {"name": "noop", "type": "python", "payload": {"function": "noop"}}
WRITES = ("post", "put", "patch", "delete")

Api = Callable[[User | None], APIClient]


def key_of(user: User, *scopes: str, **fields: Any) -> str:
    return api_keys.create(user=user, name="nightly", scopes=scopes or ("jobs:read",), **fields)[1]


def by_key(secret: str) -> APIClient:
    return APIClient(headers={"authorization": f"Bearer {secret}"})


def told(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_a_key_is_shown_once_and_not_kept(api: Api, bob: User) -> None:
    body = {"name": " nightly ", "scopes": ["jobs:write", "jobs:read"], "expires_in_days": 7}
    answer = api(bob).post(KEYS, body, format="json")
    made = answer.json()
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    assert (made["name"], made["scopes"], made["in_force"]) == ("nightly", ["jobs:read", "jobs:write"], True)
    assert (made["user_id"], made["username"], made["org_id"]) == (bob.pk, "bob", bob.org_id)
    assert made["key"].startswith(made["prefix"] + "_")
    assert len(made["prefix"]) == len("sq_12345678")
    [row] = ApiKey.objects.all()
    assert row.expires_at is not None
    assert abs(row.expires_at - row.created_at - timedelta(days=7)) < timedelta(minutes=1)
    assert made["key"] not in str(ApiKey.objects.values().get())
    listed = api(bob).get(KEYS)
    assert listed.json()["results"] == [{name: value for name, value in made.items() if name != "key"}]
    [entry] = AuditEntry.objects.filter(action="key.create")
    assert (entry.org, entry.user) == (bob.org, bob)
    assert made["key"][-43:] not in str(entry.details) + entry.target


def test_a_key_acts_for_its_user(bob: User) -> None:
    client = by_key(key_of(bob, "jobs:read", "jobs:write"))
    made = client.post("/jobs/", NOOP, format="json")
    assert (made.status_code, made.json()["user_id"]) == (201, bob.pk)
    assert [job["id"] for job in client.get("/jobs/").json()["results"]] == [made.json()["id"]]
    assert client.get("/orgs/me").json()["name"] == "Acme"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["jobs:all"]}, "scopes.0"),
        ({"scopes": "jobs:read"}, "scopes"),
        ({"scopes": ["platform:write"]}, "scopes"),
        ({"scopes": ["members:write"]}, "scopes"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": 366}, "expires_in_days"),
        ({"org_id": 1}, "org_id"),
    ],
)
def test_what_cannot_be_a_key_is_told_by_field(
    api: Api, bob: User, wrong: dict[str, Any], field: str
) -> None:
    answer = api(bob).post(KEYS, {"name": "x", "scopes": ["jobs:read"], **wrong}, format="json")
    assert told(answer) == (400, "invalid")
    assert list(answer.json()["error"]["fields"]) == [field]
    assert not ApiKey.objects.exists()


def test_a_key_lasts_as_long_as_may_be(bob: User, settings: Settings) -> None:
    key_of(bob)
    settings.API_KEY_MAX_DAYS = 0
    key_of(bob)
    key_of(bob, expires_in_days=2000)
    first, second, third = ApiKey.objects.order_by("pk")
    assert first.expires_at is not None
    assert (first.expires_at - first.created_at).days in (364, 365)
    assert second.expires_at is None
    assert third.expires_at is not None


def test_there_is_a_most_of_keys(bob: User, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "MOST_KEYS", 2)
    keys = [api_keys.create(user=bob, name="x", scopes=["jobs:read"])[0] for _ in range(2)]
    with pytest.raises(Conflict):
        key_of(bob)
    key_of(alice)
    api_keys.revoke(user=bob, key=keys[0])
    key_of(bob)


def test_whoever_may_not_make_keys(api: Api, vera: User, root_admin: User) -> None:
    body = {"name": "x", "scopes": ["jobs:read"]}
    assert told(api(vera).post(KEYS, body, format="json")) == (403, "forbidden")
    assert told(api(vera).get(KEYS)) == (403, "forbidden")
    assert told(api(root_admin).post(KEYS, body, format="json")) == (403, "no_organization")


def test_who_sees_and_revokes_which_keys(api: Api, alice: User, bob: User, charlie: User) -> None:
    key_of(bob)
    key_of(alice)
    theirs, own = ApiKey.objects.order_by("pk")
    path = f"{KEYS}/{{}}"
    assert [key["id"] for key in api(alice).get(KEYS).json()["results"]] == [own.pk, theirs.pk]
    assert [key["id"] for key in api(bob).get(KEYS).json()["results"]] == [theirs.pk]
    assert api(charlie).get(KEYS).json()["results"] == []
    for user, key in ((bob, own), (charlie, own), (charlie, theirs)):
        assert told(api(user).delete(path.format(key.pk))) == (404, "not_found")
    assert not ApiKey.objects.exclude(revoked_at=None).exists()
    for _ in range(2):
        assert api(alice).delete(path.format(theirs.pk)).status_code == 204
    [entry] = AuditEntry.objects.filter(action="key.revoke")
    assert (entry.org, entry.user) == (alice.org, alice)
    assert entry.details == {"key_id": theirs.pk, "user_id": bob.pk}


def revoke(user: User) -> None:
    api_keys.revoke(user=user, key=ApiKey.objects.get())


def expire(user: User) -> None:
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=1))


def deactivate(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def leave(user: User) -> None:
    User.objects.filter(pk=user.pk).update(org=None)


def move(user: User) -> None:
    User.objects.filter(pk=user.pk).update(org=Organization.objects.create(name="Elsewhere"))


def forget(user: User) -> None:
    ApiKey.objects.all().delete()


def revoke_all(user: User) -> None:
    api_keys.revoke_all(of=user, by=None)


@pytest.mark.parametrize("end", [revoke, expire, deactivate, leave, move, forget, revoke_all])
def test_a_dead_key_is_refused_from_the_next_request_on(bob: User, end: Callable[[User], None]) -> None:
    client = by_key(key_of(bob, "jobs:read"))
    assert client.get("/jobs/").status_code == 200
    end(bob)
    answer = client.get("/jobs/")
    assert told(answer) == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("field", "code"), [("suspended_at", "organization_suspended"), ("delete_at", "organization_closing")]
)
def test_a_closed_organisation_has_no_keys(alice: User, field: str, code: str) -> None:
    client = by_key(key_of(alice, "jobs:read"))
    Organization.objects.update(**{field: timezone.now()})
    assert told(client.get("/jobs/")) == (401, code)


def test_the_role_holds_beside_the_scopes(alice: User) -> None:
    client = by_key(key_of(alice, "queues:write", "jobs:read"))
    assert client.put("/limits/org", {"max_running": 1}, format="json").status_code == 200
    User.objects.filter(pk=alice.pk).update(role=roles.VIEWER)
    assert told(client.put("/limits/org", {"max_running": 1}, format="json")) == (403, "forbidden")


def test_a_missing_scope_is_named(bob: User) -> None:
    answer = by_key(key_of(bob, "jobs:read")).post("/jobs/", NOOP, format="json")
    assert told(answer) == (403, "insufficient_scope")
    assert "jobs:write" in answer.json()["error"]["message"]


def test_a_key_makes_no_keys(alice: User) -> None:
    everything = api_keys.scopes_for(alice)
    assert set(everything) == set(roles.SCOPES) - {"platform:write"}
    client = by_key(key_of(alice, *everything))
    answer = client.post(KEYS, {"name": "x", "scopes": ["jobs:read"]}, format="json")
    assert told(answer) == (403, "insufficient_scope")
    assert "log in" in answer.json()["error"]["message"]


def routes() -> list[tuple[str, type[APIView]]]:
    """Every path of the REST API with an id that nothing has, and its view."""
    return sorted(_routes(get_resolver().url_patterns, "/"), key=lambda found: found[0])


def _routes(patterns: list[URLPattern | URLResolver], prefix: str) -> Any:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, path)
        elif issubclass(view := getattr(pattern.callback, "cls", object), APIView):
            yield (
                "".join(f"1{part.split('>')[-1]}" if i else part for i, part in enumerate(path.split("<"))),
                view,
            )


def test_every_view_is_open_or_asks_for_the_scopes() -> None:
    for path, view in routes():
        assert issubclass(view, OrgAPIMixin | OpenDoorView | SchemaView | ExplorerView), path


def test_a_key_without_the_scope_writes_nowhere(root_admin: User, acme: Organization) -> None:
    """For somebody who may everything: so it is the key that is refused. `jobs:read` covers asking for a prediction."""
    User.objects.filter(pk=root_admin.pk).update(org=acme)
    root_admin.refresh_from_db()
    client = by_key(key_of(root_admin, "jobs:read"))
    asked = 0
    for path, view in routes():
        if not issubclass(view, OrgAPIMixin) or path == "/predictor/predict":
            continue
        for method in WRITES:
            answer = getattr(client, method)(path, {}, format="json")
            if hasattr(view, method):
                assert told(answer) == (403, "insufficient_scope"), (method, path)
                asked += 1
            else:
                assert told(answer) == (405, "method_not_allowed"), (method, path)
    assert asked >= 18


def test_a_key_reads_what_its_scopes_cover_alone(root_admin: User, acme: Organization) -> None:
    User.objects.filter(pk=root_admin.pk).update(org=acme)
    root_admin.refresh_from_db()
    client = by_key(key_of(root_admin, "queues:write"))
    for path, view in routes():
        if issubclass(view, OrgAPIMixin) and hasattr(view, "get") and path != "/orgs/me":
            assert told(client.get(path)) == (403, "insufficient_scope"), path
    assert client.get("/orgs/me").status_code == 200


def test_the_last_use_is_written_once_a_minute(bob: User) -> None:
    client = by_key(key_of(bob, "jobs:read"))
    assert ApiKey.objects.get().last_used_at is None
    writes = []
    for _ in range(3):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get("/orgs/me")
        writes.append(sum("UPDATE orgs_apikey" in query["sql"] for query in queries))
    assert writes == [1, 0, 0]
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    ApiKey.objects.update(last_used_at=F("last_used_at") - timedelta(seconds=61))
    client.get("/orgs/me")
    assert ApiKey.objects.get().last_used_at == first


def test_a_key_costs_no_more_statements_than_a_token(bob: User, api: Api) -> None:
    client, counts = by_key(key_of(bob, "jobs:read")), []
    client.get("/orgs/me")
    for asking in (client, api(bob)):
        with CaptureQueriesContext(connection) as queries:
            asking.get("/jobs/")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_many_bearers_are_found_together(alice: User, bob: User, vera: User, charlie: User) -> None:
    keys = [key_of(alice), key_of(bob, "jobs:write")]
    asked = [
        bearers.bearer_of(token)
        for token in (*keys, tokens.issue_access_token(vera), "sq_12345678_" + "a" * 43)
    ]
    closed = bearers.bearer_of(key_of(charlie))
    Organization.objects.filter(pk=charlie.org_id).update(suspended_at=timezone.now())
    found = bearers.open_users([*asked, closed, charlie.pk])
    assert {bearer: user.username for bearer, user in found.items()} == dict(
        zip(asked, ("alice", "bob", "vera"), strict=False)
    )
    assert [found[bearer].may(roles.JOBS_SUBMIT) for bearer in asked[:3]] == [False, True, False]


@pytest.mark.parametrize(
    "token", ["sq_", "sq_abc", "sq_ABCDEFGH_" + "a" * 43, "sq_abcdefgh_" + "a" * 44, "sq_é"]
)
def test_what_has_no_form_of_a_key_needs_no_database(token: str) -> None:
    with pytest.raises(jwt.InvalidToken):
        bearers.bearer_of(token)


def test_the_service_refuses_scopes_that_do_not_exist(bob: User) -> None:
    with pytest.raises(InvalidInput):
        key_of(bob, "jobs:everything")


def test_a_key_of_somebody_who_left_is_told_as_such(api: Api, alice: User, bob: User) -> None:
    key_of(bob)
    leave(bob)
    [key] = api(alice).get(KEYS).json()["results"]
    assert (key["user_id"], key["username"], key["in_force"]) == (None, "a former member", False)


def test_an_entry_of_the_audit_log_names_the_key(alice: User) -> None:
    client = by_key(key_of(alice, "queues:write"))
    assert client.post("/pauses", {"queue": "mail"}, format="json").status_code == 201
    entry = AuditEntry.objects.filter(action__startswith="queue").latest("pk")
    assert entry.key_id == ApiKey.objects.get().pk


@pytest.mark.parametrize("role", [roles.ORG_ADMIN, roles.USER])
def test_a_key_makes_nobody_more_than_a_user(alice: User, bob: User, role: str) -> None:
    client = by_key(key_of(alice, "members:write"))
    make_invitation = client.post("/orgs/me/invitations", {"role": role}, format="json")
    change_role = client.patch(f"/orgs/me/members/{bob.pk}", {"role": role}, format="json")
    if role == roles.USER:
        assert (make_invitation.status_code, change_role.status_code) == (201, 200)
        return
    for answer in (make_invitation, change_role):
        assert told(answer) == (403, "forbidden")
        assert "API key" in answer.json()["error"]["message"]


@pytest.mark.parametrize("wide", [True, False])
def test_a_platform_admins_key_stays_at_home_unless_it_says_so(
    root_admin: User, bob: User, charlie: User, submit: Callable[..., Any], wide: bool
) -> None:
    User.objects.filter(pk=root_admin.pk).update(org=bob.org)
    root_admin.refresh_from_db()
    own, foreign = submit(bob), submit(charlie)
    more = ("platform:write",) if wide else ()
    client = by_key(key_of(root_admin, "jobs:read", "queues:write", *more))
    listed = {job["id"] for job in client.get("/jobs/").json()["results"]}
    assert listed == ({own.pk, foreign.pk} if wide else {own.pk})
    assert client.get(f"/jobs/{foreign.pk}").status_code == (200 if wide else 404)
    assert client.post("/pauses", {"org_id": charlie.org_id}, format="json").status_code == (
        201 if wide else 404
    )
    answer = client.post("/pauses", {"org_id": None, "queue": "mail"}, format="json")
    assert (answer.status_code, answer.json()["org_id"]) == (201, None if wide else bob.org_id)
