"""Refresh tokens: each serves once, a copied one ends the login, and nothing outlives what should end it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test import Client
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from orgs import refresh, roles, tokens
from orgs.models import AuditEntry, Organization, RefreshToken, User
from scheduler.duties import housekeeping
from tests.conftest import PASSWORD

REFUSED = (401, "invalid_token")


@pytest.fixture
def visitor(db: None) -> APIClient:
    return APIClient()


def log_in(user: User, password: str = PASSWORD) -> dict[str, Any]:
    answer = APIClient().post("/auth/login", {"username": user.username, "password": password}, format="json")
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    return body


def send(path: str, token: Any) -> Any:
    return APIClient().post(f"/auth/{path}", {"refresh_token": token}, format="json")


def refreshed(token: str) -> str:
    answer = send("refresh", token)
    assert answer.status_code == 200, answer.content
    return str(answer.json()["refresh_token"])


def outcome(token: Any) -> tuple[int, str]:
    answer = send("refresh", token)
    return answer.status_code, answer.json().get("error", {}).get("code", "")


def test_a_login_lasts_as_long_as_it_is_refreshed(bob: User, settings: Settings) -> None:
    body = log_in(bob)
    assert body["refresh_expires_in"] == settings.REFRESH_TTL_S == 14 * 86_400
    for _ in range(3):
        answer = send("refresh", body["refresh_token"])
        body = answer.json()
        assert (answer.status_code, body["user"]["username"]) == (200, "bob")
        assert answer.headers["Cache-Control"] == "no-store"
        assert tokens.user_of_access_token(body["access_token"]) == bob


def test_nothing_that_is_stored_can_be_sent(bob: User) -> None:
    secret = log_in(bob)["refresh_token"]
    [row] = RefreshToken.objects.values()
    assert secret not in str(row)
    assert outcome(row["secret_hash"]) == REFUSED


def test_a_token_that_comes_again_ends_its_login_and_no_other(bob: User) -> None:
    other = log_in(bob)["refresh_token"]
    first = log_in(bob)["refresh_token"]
    second = refreshed(first)
    third = refreshed(second)
    assert outcome(first) == REFUSED
    assert outcome(third) == REFUSED
    assert outcome(second) == REFUSED
    refreshed(other)
    [entry] = AuditEntry.objects.filter(action="token.reuse")
    assert (entry.org, entry.user, entry.target) == (bob.org, bob, "bob")
    assert entry.details == {"family": str(RefreshToken.objects.order_by("-revoked_at").first().family)}  # type: ignore[union-attr]


@pytest.mark.django_db(transaction=True)
def test_two_uses_at_once_end_the_login(bob: User) -> None:
    """One of both gets a token, the other finds it used; whichever was the thief, neither goes on."""
    secret = refresh.log_in(bob)
    at_once = threading.Barrier(2)

    def use() -> str | None:
        try:
            connection.ensure_connection()
            at_once.wait(10)
            return refresh.exchange(secret)[1]
        except refresh.InvalidRefreshToken:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        answers = [answer.result(20) for answer in [threads.submit(use) for _ in range(2)]]
    [following] = [answer for answer in answers if answer is not None]
    with pytest.raises(refresh.InvalidRefreshToken):
        refresh.exchange(following)
    assert not RefreshToken.objects.filter(used_at=None, revoked_at=None).exists()
    assert AuditEntry.objects.filter(action="token.reuse").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_token_that_is_used_while_its_family_ends_leaves_no_other_behind(bob: User) -> None:
    first = refresh.log_in(bob)
    _, second = refresh.exchange(first)
    at_once = threading.Barrier(2)

    def use(secret: str) -> bool:
        try:
            connection.ensure_connection()
            at_once.wait(10)
            refresh.exchange(secret)
        except refresh.InvalidRefreshToken:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(use, secret) for secret in (first, second)]
        assert not answers[0].result(20)
        answers[1].result(20)
    assert not RefreshToken.objects.filter(used_at=None, revoked_at=None).exists()


def test_logging_out_ends_the_login_with_any_of_its_tokens(bob: User) -> None:
    for used in (False, True):
        first = log_in(bob)["refresh_token"]
        last = refreshed(first)
        assert send("logout", first if used else last).status_code == 204
        assert outcome(last) == REFUSED
    assert send("logout", "unknown").status_code == 204
    assert not AuditEntry.objects.filter(action="token.reuse").exists()


@pytest.mark.parametrize("path", ["refresh", "logout"])
@pytest.mark.parametrize(
    "body", [{}, {"refresh_token": ""}, {"refresh_token": 1.5e300, "x": 1}, [], {"refresh_token": "a" * 201}]
)
def test_a_body_that_cannot_be_used_is_400(visitor: APIClient, path: str, body: Any) -> None:
    answer = visitor.post(f"/auth/{path}", body, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")


@pytest.mark.parametrize("token", ["x", "é" * 43, "a" * 43, "sq_" + "a" * 40, "a.b.c"])
def test_a_token_that_is_none_is_401(visitor: APIClient, token: str) -> None:
    answer = send("refresh", token)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer.json()["error"]["code"] == "invalid_token"


def test_an_access_token_is_no_refresh_token_and_the_other_way_round(bob: User) -> None:
    body = log_in(bob)
    answer = send("refresh", body["access_token"])
    assert answer.status_code in (400, 401)
    client = APIClient(headers={"authorization": f"Bearer {body['refresh_token']}"})
    assert client.get("/orgs/me").status_code == 401


def test_an_expired_token_is_refused(bob: User) -> None:
    secret = log_in(bob)["refresh_token"]
    RefreshToken.objects.update(expires_at=timezone.now())
    assert outcome(secret) == REFUSED


def test_an_inactive_user_is_refused(bob: User) -> None:
    secret = log_in(bob)["refresh_token"]
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert outcome(secret) == REFUSED


def test_a_suspended_organisation_keeps_its_members_out_until_it_goes_on(
    bob: User, acme: Organization
) -> None:
    secret = log_in(bob)["refresh_token"]
    access = APIClient(headers={"authorization": f"Bearer {tokens.issue_access_token(bob)}"})
    Organization.objects.update(suspended_at=timezone.now())
    told = (401, "organization_suspended")
    assert outcome(secret) == told
    body = {"username": "bob", "password": PASSWORD}
    for answer in (access.get("/orgs/me"), APIClient().post("/auth/login", body, format="json")):
        assert (answer.status_code, answer.json()["error"]["code"]) == told
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    Organization.objects.update(suspended_at=None)
    refreshed(secret)


def test_a_platform_admin_keeps_access(root_admin: User, acme: Organization) -> None:
    User.objects.filter(pk=root_admin.pk).update(org=acme)
    Organization.objects.update(suspended_at=timezone.now(), delete_at=timezone.now())
    refreshed(log_in(root_admin)["refresh_token"])


def test_a_wrong_password_after_the_look_begins_nothing(bob: User) -> None:
    stale = User.objects.get(pk=bob.pk)
    bob.set_password("another one entirely")
    bob.save()
    with pytest.raises(refresh.InvalidCredentials):
        refresh.log_in(stale)
    assert not RefreshToken.objects.exists()


def test_the_own_new_password_ends_every_login(alice: User, bob: User, client: Client) -> None:
    logins = [log_in(alice)["refresh_token"] for _ in range(2)]
    other = log_in(bob)["refresh_token"]
    client.force_login(alice)
    new = "entirely another one"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert client.post("/admin/password_change/", form).status_code == 302
    assert [outcome(secret) for secret in logins] == [REFUSED] * 2
    refreshed(other)
    log_in(alice, new)


def test_a_password_set_by_a_platform_admin_ends_every_login(
    root_admin: User, bob: User, client: Client
) -> None:
    secret = log_in(bob)["refresh_token"]
    client.force_login(root_admin)
    new = "entirely another one"
    form = {"password1": new, "password2": new, "usable_password": "true"}
    assert client.post(f"/admin/orgs/user/{bob.pk}/password/", form).status_code == 302
    assert outcome(secret) == REFUSED


def test_a_login_is_noted_in_the_organisation(bob: User) -> None:
    log_in(bob)
    [entry] = AuditEntry.objects.filter(action="user.login")
    assert (entry.org, entry.user, entry.details) == (bob.org, bob, {"by": "token"})


def test_what_is_over_is_pruned(bob: User, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [refresh.log_in(bob) for _ in range(4)]
    refresh.end(secrets[0])
    RefreshToken.objects.filter(secret_hash__in=[refresh._hash(secret) for secret in secrets[1:3]]).update(
        expires_at=F("issued_at") - timedelta(seconds=1)
    )
    # What ended in this transaction expires at its very moment: as if it had been a little earlier.
    RefreshToken.objects.exclude(revoked_at=None).update(expires_at=F("issued_at") - timedelta(seconds=1))
    monkeypatch.setattr(refresh, "PRUNED_AT_ONCE", 2)
    assert refresh.prune() == 2
    assert housekeeping.run("test") >= 1
    [left] = RefreshToken.objects.all()
    assert left.secret_hash == refresh._hash(secrets[3])
    refresh.exchange(secrets[3])


def test_ending_all_ends_one_users(alice: User, bob: User) -> None:
    mine, theirs = refresh.log_in(alice), refresh.log_in(bob)
    refresh.end_all(alice)
    with pytest.raises(refresh.InvalidRefreshToken):
        refresh.exchange(mine)
    assert refresh.exchange(theirs)[0] == bob


def test_a_new_signing_secret_logs_nobody_out(
    bob: User, settings: Settings, api: Callable[..., APIClient]
) -> None:
    client, secret = api(bob), log_in(bob)["refresh_token"]
    retired = settings.JWT_SECRET
    settings.JWT_SECRET, settings.JWT_PREVIOUS_SECRETS = "n" * 40, [retired]
    assert client.get("/orgs/me").status_code == 200
    fresh = APIClient(headers={"authorization": f"Bearer {tokens.issue_access_token(bob)}"})
    settings.JWT_PREVIOUS_SECRETS = []
    assert client.get("/orgs/me").status_code == 401
    assert fresh.get("/orgs/me").status_code == 200
    refreshed(secret)


def test_people_without_an_organisation_refresh_too(db: None) -> None:
    dora = User.objects.create_user("dora", password=PASSWORD, role=roles.USER)
    refreshed(log_in(dora)["refresh_token"])
