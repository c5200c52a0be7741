"""The REST API of accounts and organisations."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from orgs import roles, tokens
from orgs.models import Organization, User
from tests.conftest import PASSWORD, make_user

Api = Callable[[User | None], APIClient]


@pytest.fixture
def visitor(db: None, api: Api) -> APIClient:
    return api(None)


def error_of(answer: Any) -> tuple[int, str, set[str]]:
    """(status, code, names of the fields), having checked that the error has the one shape."""
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) - {"fields"} == {"code", "message"}
    fields = body["error"].get("fields", {})
    assert all(isinstance(text, str) for texts in fields.values() for text in texts)
    return answer.status_code, body["error"]["code"], set(fields)


def post(client: APIClient, path: str, body: Any) -> Any:
    """Like `format="json"`, but it can send half of a surrogate pair."""
    return client.post(path, json.dumps(body), content_type="application/json")


def test_register_then_log_in(visitor: APIClient) -> None:
    body = {"username": "dora", "password": PASSWORD, "email": "dora@example.org"}
    answer = visitor.post("/auth/register", body, format="json")
    assert answer.status_code == 201
    assert answer.json()["username"] == "dora"
    assert "password" not in answer.content.decode()
    answer = visitor.post("/auth/login", {"username": "dora", "password": PASSWORD}, format="json")
    assert answer.status_code == 200
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("bearer", 900)
    assert tokens.user_of_access_token(answer.json()["access_token"]).username == "dora"
    assert answer.json()["user"] == {
        **answer.json()["user"],
        "username": "dora",
        "role": "user",
        "org_id": None,
    }


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"username": None}, {"username"}),
        ({"username": "a b"}, {"username"}),
        ({"username": "a\0b"}, {"username"}),
        ({"username": "\ud800"}, {"username"}),
        ({"username": "x" * 100_000}, {"username"}),
        ({"username": ["dora"]}, {"username"}),
        ({"password": "short"}, {"password"}),
        ({"password": "a\0" + PASSWORD}, {"password"}),
        ({"password": "x" * 5000}, {"password"}),
        ({"email": "nobody"}, {"email"}),
        ({"email": "a\0@example.org"}, {"email"}),
        ({"role": "admin"}, {"role"}),
        ({"is_superuser": True, "org_id": 1}, {"is_superuser", "org_id"}),
        ({"\ud800": 1}, {"?"}),
        ({"username": "", "nickname": "d"}, {"username", "nickname"}),
    ],
)
def test_register_refuses_and_names_the_fields(
    visitor: APIClient, changed: dict[str, Any], fields: set[str]
) -> None:
    body = {"username": "dora", "password": PASSWORD, **changed}
    answer = post(visitor, "/auth/register", body)
    assert error_of(answer) == (400, "invalid", fields)
    assert not User.objects.exists()


def test_register_a_taken_name(visitor: APIClient, bob: User) -> None:
    answer = visitor.post("/auth/register", {"username": "bob", "password": PASSWORD}, format="json")
    assert error_of(answer) == (409, "conflict", {"username"})


@pytest.mark.parametrize(
    ("username", "password"), [("bob", "wrong"), ("nobody", PASSWORD), ("BOB", PASSWORD)]
)
def test_wrong_credentials(visitor: APIClient, bob: User, username: str, password: str) -> None:
    answer = visitor.post("/auth/login", {"username": username, "password": password}, format="json")
    assert error_of(answer) == (401, "invalid_credentials", set())
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_an_inactive_user_cannot_log_in(visitor: APIClient, bob: User) -> None:
    User.objects.filter(pk=bob.pk).update(is_active=False)
    answer = visitor.post("/auth/login", {"username": "bob", "password": PASSWORD}, format="json")
    assert error_of(answer) == (401, "invalid_credentials", set())


@pytest.mark.parametrize(
    "body", [{}, {"username": "bob", "password": "a\0b"}, {"username": 1, "password": {}}]
)
def test_login_with_a_bad_body(visitor: APIClient, body: dict[str, Any]) -> None:
    assert error_of(visitor.post("/auth/login", body, format="json"))[:2] == (400, "invalid")


def test_users_are_for_platform_admins(
    api: Api, alice: User, bob: User, vera: User, root_admin: User
) -> None:
    for user in (alice, bob, vera):
        assert error_of(api(user).get("/auth/users")) == (403, "forbidden", set())
        assert api(user).head("/auth/users").status_code == 403
    answer = api(root_admin).get("/auth/users").json()
    assert [user["username"] for user in answer["results"]] == ["alice", "bob", "vera", "root_admin"]


def test_found_an_organisation(api: Api, db: None) -> None:
    dora = make_user("dora", roles.USER, None)
    answer = api(dora).post("/orgs/", {"name": "Initech"}, format="json")
    assert (answer.status_code, answer.json()["name"]) == (201, "Initech")
    own = api(dora).get("/orgs/me").json()
    assert own == {**answer.json(), "role": "org_admin", "member_count": 1}


@pytest.mark.parametrize(
    ("body", "fields"),
    [({}, {"name"}), ({"name": "x" * 101}, {"name"}), ({"name": "a\0"}, {"name"}), ({"name": " "}, {"name"}),
     ({"name": "Initech", "id": 7}, {"id"}), ({"name": {}}, {"name"})],
)  # fmt: skip
def test_found_with_a_bad_body(api: Api, db: None, body: dict[str, Any], fields: set[str]) -> None:
    dora = make_user("dora", roles.USER, None)
    assert error_of(api(dora).post("/orgs/", body, format="json")) == (400, "invalid", fields)


def test_found_twice_or_under_a_taken_name(api: Api, alice: User, db: None) -> None:
    assert error_of(api(alice).post("/orgs/", {"name": "Second"}, format="json"))[:2] == (409, "conflict")
    dora = make_user("dora", roles.USER, None)
    answer = api(dora).post("/orgs/", {"name": "Acme"}, format="json")
    assert error_of(answer) == (409, "conflict", {"name"})


def test_invite(api: Api, alice: User, db: None) -> None:
    make_user("dora", roles.USER, None)
    answer = api(alice).post(
        f"/orgs/{alice.org_id}/invite", {"username": "dora", "role": "viewer"}, format="json"
    )
    assert (answer.status_code, answer.json()["role"]) == (201, "viewer")
    names = [member["username"] for member in api(alice).get("/orgs/me/members").json()["results"]]
    assert names == ["alice", "dora"]


def test_a_stranger_gets_404_and_a_member_without_the_right_403(
    api: Api, alice: User, bob: User, vera: User, charlie: User, acme: Organization
) -> None:
    make_user("dora", roles.USER, None)
    outsider = make_user("erin", roles.USER, charlie.org)
    for user, expected in ((bob, 403), (vera, 403), (charlie, 404), (outsider, 404)):
        answer = api(user).post(f"/orgs/{acme.pk}/invite", {"username": "dora"}, format="json")
        assert answer.status_code == expected
        assert api(user).post(f"/orgs/{acme.pk}/invite", {}, format="json").status_code == expected
    assert User.objects.get(username="dora").org is None


def test_an_organisation_that_does_not_exist_looks_like_a_strangers(
    api: Api, alice: User, charlie: User
) -> None:
    def answer(org_id: int | None) -> Any:
        return api(alice).post(f"/orgs/{org_id}/invite", {"username": "bob"}, format="json")

    unknown = [answer(org_id) for org_id in (charlie.org_id, 999_999, 10**30)]
    assert {response.status_code for response in unknown} == {404}
    assert len({response.content for response in unknown}) == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"username": "nobody"}, (404, "not_found", {"username"})),
        ({"username": "charlie"}, (409, "conflict", set())),
        ({"username": "bob"}, (409, "conflict", set())),
        ({"username": "dora", "role": "admin"}, (400, "invalid", {"role"})),
        ({"username": "dora", "role": "\ud800"}, (400, "invalid", {"role"})),
        ({"username": "do\0ra"}, (400, "invalid", {"username"})),
        ({"role": "user"}, (400, "invalid", {"username"})),
        ({"username": "dora", "org": 1}, (400, "invalid", {"org"})),
    ],
)
def test_invite_refuses(
    api: Api, alice: User, bob: User, charlie: User, body: dict[str, Any], expected: tuple[int, str, set[str]]
) -> None:
    make_user("dora", roles.USER, None)
    answer = post(api(alice), f"/orgs/{alice.org_id}/invite", body)
    assert error_of(answer) == expected
    assert "Globex" not in answer.content.decode()


def test_members_are_the_own_organisations(
    api: Api, alice: User, bob: User, vera: User, charlie: User
) -> None:
    for user in (alice, bob, vera):
        answer = api(user).get("/orgs/me/members").json()
        assert [member["username"] for member in answer["results"]] == ["alice", "bob", "vera"]
        own = api(user).get("/orgs/me").json()
        assert (own["name"], own["role"], own["member_count"]) == ("Acme", user.role, 3)
    assert api(charlie).get("/orgs/me").json()["name"] == "Globex"


@pytest.mark.parametrize("path", ["/orgs/me", "/orgs/me/members"])
def test_without_an_organisation(api: Api, db: None, root_admin: User, path: str) -> None:
    for user in (make_user("dora", roles.USER, None), root_admin):
        assert error_of(api(user).get(path)) == (403, "no_organization", set())


def test_pages_follow_one_another(api: Api, alice: User, acme: Organization) -> None:
    User.objects.bulk_create(User(username=f"u{number}", org=acme) for number in range(4))
    client, seen, path = api(alice), [], "/orgs/me/members?page_size=2"
    while path:
        page = client.get(path).json()
        seen.append([member["username"] for member in page["results"]])
        path = page["next"]
    assert seen == [["alice", "u0"], ["u1", "u2"], ["u3"]]


@pytest.mark.parametrize(
    "query",
    [
        "cursor=x",
        "cursor=cD1hYmM=",
        "cursor=cD0lMDA=",
        "cursor=%C3%A9",
        "cursor=cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk5",
    ],
)
def test_a_bad_cursor_is_named(api: Api, alice: User, query: str) -> None:
    assert error_of(api(alice).get(f"/orgs/me/members?{query}")) == (400, "invalid", {"cursor"})


@pytest.mark.parametrize("size", ["0", "-1", "x", "201", "1e3", "", "9" * 5000, "00000000005000"])
def test_a_bad_page_size_is_named(api: Api, alice: User, size: str) -> None:
    assert error_of(api(alice).get(f"/orgs/me/members?page_size={size}")) == (400, "invalid", {"page_size"})


def test_a_body_that_is_no_object(visitor: APIClient) -> None:
    for body in ([], ["a"], "a", 5):
        assert error_of(visitor.post("/auth/login", body, format="json"))[:2] == (400, "invalid")
