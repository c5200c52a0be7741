"""Bearer tokens at the door of the API, beside the session of a browser."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from orgs import jwt, tokens
from orgs.models import User
from tests.conftest import PASSWORD


def ask(authorization: str) -> tuple[int, str, str | None]:
    """(status, error code, WWW-Authenticate) of a request for the own organisation."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=authorization)
    answer = client.get("/orgs/me")
    code = "" if answer.status_code == 200 else answer.json()["error"]["code"]
    return answer.status_code, code, answer.headers.get("WWW-Authenticate")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_is_the_user(alice: User, scheme: str) -> None:
    assert ask(f"{scheme} {tokens.issue_access_token(alice)}")[0] == 200


def test_a_visitor_gets_401(db: None) -> None:
    answer = APIClient().get("/orgs/me")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_authenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "\x7f", "a b", "." * 5000])
def test_nonsense_gets_401(db: None, token: str) -> None:
    assert ask(f"Bearer {token}") == (401, "invalid_token", "Bearer")


@pytest.mark.parametrize("authorization", ["Basic YTpi", "Token x", "Bearer"])
def test_what_is_no_bearer_token_gets_401(alice: User, authorization: str) -> None:
    assert ask(authorization)[0] == 401


def test_an_expired_token_gets_401(alice: User) -> None:
    assert ask(f"Bearer {tokens.issue_access_token(alice, now=1)}") == (401, "invalid_token", "Bearer")


def test_an_inactive_user_gets_401(alice: User) -> None:
    token = tokens.issue_access_token(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert ask(f"Bearer {token}") == (401, "invalid_token", "Bearer")


def test_a_deleted_user_gets_401(alice: User) -> None:
    token = tokens.issue_access_token(alice)
    alice.delete()
    assert ask(f"Bearer {token}")[0] == 401


@pytest.mark.parametrize("subject", ["", "x", "-1", "1.0", "٣", "9" * 30, "9223372036854775808", "0"])
def test_a_subject_that_is_no_user_is_refused(db: None, settings: Settings, subject: str) -> None:
    claims = {"iss": "smartqueue", "aud": "smartqueue", "sub": subject, "iat": 0, "exp": 2**40, "jti": "a"}
    with pytest.raises(jwt.InvalidToken):
        tokens.user_of_access_token(jwt.encode(claims, secret=settings.JWT_SECRET))


def test_the_secret_can_be_rotated(alice: User, settings: Settings) -> None:
    token = tokens.issue_access_token(alice)
    settings.JWT_PREVIOUS_SECRETS, settings.JWT_SECRET = [settings.JWT_SECRET], "n" * 40
    assert tokens.user_of_access_token(token) == alice
    assert tokens.user_of_access_token(tokens.issue_access_token(alice)) == alice
    settings.JWT_PREVIOUS_SECRETS = []
    with pytest.raises(jwt.InvalidToken):
        tokens.user_of_access_token(token)


def test_a_session_serves_as_well(alice: User, client: Client) -> None:
    client.force_login(alice)
    assert client.get("/orgs/me").status_code == 200


def test_a_session_needs_the_csrf_token_to_write(bob: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(bob)
    answer = browser.post("/orgs/", {"name": "Evil"}, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


def test_a_bearer_token_needs_no_csrf_token(root_admin: User) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.issue_access_token(root_admin)}")
    assert client.post("/orgs/", {"name": "New"}, format="json").status_code == 201


def test_a_bad_token_is_refused_even_beside_a_session(alice: User) -> None:
    client = APIClient()
    client.login(username="alice", password=PASSWORD)
    assert client.get("/orgs/me").status_code == 200
    client.credentials(HTTP_AUTHORIZATION="Bearer x")
    assert client.get("/orgs/me").status_code == 401


def test_a_stale_token_does_not_block_the_login(alice: User) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer x")
    body = {"username": "alice", "password": PASSWORD}
    assert client.post("/auth/login", body, format="json").status_code == 200


def test_a_superuser_flag_gives_no_role(bob: User, api: Callable[[User], APIClient]) -> None:
    User.objects.filter(pk=bob.pk).update(is_superuser=True, is_staff=True)
    assert api(bob).get("/auth/users").status_code == 403


def test_createsuperuser_makes_a_platform_admin(db: None) -> None:
    assert User.objects.create_superuser("boss", password=PASSWORD).is_platform_admin
