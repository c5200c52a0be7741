"""Failed logins slow down the next ones, at every door, and lock nobody out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest
from django.test import Client, RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings
from rest_framework.test import APIClient

from orgs.exceptions import RateLimited
from orgs.login_guard import guarded
from orgs.login_rules import is_noted, pause_s
from orgs.models import AuditEntry, User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

HOME, AWAY = "192.0.2.1", "198.51.100.1"
DOORS = ("/auth/login", "/dashboard/login/", "/admin/login/")


@dataclass
class Answer:
    """What a door said; `refused`: seconds to wait, None when the password was looked at."""

    entered: bool
    refused: int | None


def knock(
    address: str = HOME, *, username: str = "alice", password: str = "wrong", door: str = DOORS[0]
) -> Answer:
    if door == DOORS[0]:
        client: Client = APIClient(REMOTE_ADDR=address)
        answer = client.post(door, {"username": username, "password": password}, format="json")
    else:
        client = Client(REMOTE_ADDR=address)
        answer = client.post(door, {"username": username, "password": password})
    seconds = int(answer.headers["Retry-After"]) if answer.status_code == 429 else None
    return Answer(answer.status_code == (200 if door == DOORS[0] else 302), seconds)


@pytest.fixture(autouse=True)
def _rules(settings: Settings) -> None:
    """Pauses of a quarter of an hour from the first on would hide that they grow: see the pure tests for that."""
    settings.RATE_LOGIN = "1000/365d"
    settings.LOGIN_FREE, settings.LOGIN_FREE_ACCOUNT, settings.LOGIN_FREE_ADDRESS = 3, 6, 8


@pytest.fixture
def _long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no pause ends before a test has looked."""
    monkeypatch.setattr(
        "orgs.login_guard.pause_s", lambda attempt, *, free, longest_s: 900 * (attempt >= free)
    )


def fill(address: str, attempts: int, username: str = "alice") -> list[int | None]:
    return [knock(address, username=username).refused for _ in range(attempts)]


@given(attempt=st.integers(1, 10**6), free=st.integers(1, 1000), longest=st.integers(1, 3600))
def test_pauses_begin_at_one_second_double_and_end(attempt: int, free: int, longest: int) -> None:
    pause = pause_s(attempt, free=free, longest_s=longest)
    following = pause_s(attempt + 1, free=free, longest_s=longest)
    assert (pause == 0) == (attempt < free)
    assert following == min(max(1, 2 * pause), longest) if attempt + 1 >= free else following == 0


def test_only_thresholds_are_noted() -> None:
    assert [number for number in range(1, 100) if is_noted(number, (5, 20))] == [1, 5, 20]


@pytest.mark.usefixtures("_long_pauses")
@pytest.mark.parametrize("door", DOORS)
def test_after_the_free_failures_there_is_a_pause_at_every_door(alice: User, door: str) -> None:
    assert [knock(door=door) for _ in range(3)] == [Answer(False, None)] * 3
    for other in DOORS:
        answer = knock(door=other, password=PASSWORD)
        assert not answer.entered
        assert 1 <= (answer.refused or 0) <= 900


@pytest.mark.usefixtures("_long_pauses")
@pytest.mark.parametrize("door", DOORS)
def test_a_known_address_is_never_refused(alice: User, door: str) -> None:
    assert knock(password=PASSWORD).entered
    assert fill(HOME, 5) == [None] * 5
    fill("198.51.100.2", 1)
    assert knock(AWAY, password=PASSWORD).refused
    assert knock(door=door, password=PASSWORD).entered


@pytest.mark.usefixtures("_long_pauses")
def test_an_account_slows_down_for_addresses_that_it_never_came_from(alice: User, bob: User) -> None:
    assert fill("198.51.100.1", 3) + fill("198.51.100.2", 3) == [None] * 6
    assert knock("198.51.100.3", password=PASSWORD).refused
    assert knock("198.51.100.3", username="bob", password=PASSWORD).entered


@pytest.mark.usefixtures("_long_pauses")
def test_an_address_slows_down_for_accounts_that_never_came_from_it(alice: User, bob: User) -> None:
    assert knock(HOME, username="bob", password=PASSWORD).entered
    assert [knock(HOME, username=f"nobody{number}").refused for number in range(8)] == [None] * 8
    assert knock(HOME, password=PASSWORD).refused
    assert knock(HOME, username="bob", password=PASSWORD).entered
    assert knock(AWAY, password=PASSWORD).entered


@pytest.mark.usefixtures("_long_pauses")
def test_names_of_nobody_are_answered_as_others(alice: User) -> None:
    def answers(username: str, address: str) -> list[tuple[int, object]]:
        client = APIClient(REMOTE_ADDR=address)
        body = {"username": username, "password": "wrong"}
        found = [client.post("/auth/login", body, format="json") for _ in range(4)]
        return [(answer.status_code, answer.json()["error"]["code"]) for answer in found]

    expected = [(401, "invalid_credentials")] * 3 + [(429, "rate_limited")]
    assert answers("alice", "192.0.2.1") == answers("nobody", "192.0.2.2") == expected


@pytest.mark.usefixtures("_long_pauses")
def test_other_spellings_of_a_name_are_one_account(alice: User) -> None:
    """Forms put names into Unicode's normal form, so the full-width ones are tries of the same account."""
    fill(HOME, 3, username="\uff41lice")
    assert knock(HOME).refused


def test_a_success_begins_anew(alice: User) -> None:
    assert fill(HOME, 2) == [None] * 2
    assert knock(password=PASSWORD).entered
    cache.delete_many(["login:known"])
    assert fill(HOME, 2) == [None] * 2


@pytest.mark.usefixtures("_long_pauses")
def test_refused_attempts_do_not_count(alice: User) -> None:
    fill(HOME, 3)
    assert None not in fill(HOME, 6)
    assert knock(AWAY, password=PASSWORD).entered


@pytest.mark.usefixtures("_long_pauses")
def test_what_goes_wrong_is_no_failure(alice: User, rf: RequestFactory) -> None:
    def broken() -> User | None:
        raise KeyError

    for _ in range(5):
        with pytest.raises(KeyError):
            guarded(_from(rf, HOME), "alice", broken)
    assert knock(password=PASSWORD).entered


def test_failures_of_a_user_are_noted_at_thresholds(alice: User) -> None:
    for number in range(4):
        fill(f"192.0.2.{number}", 2)
    fill(AWAY, 5, username="nobody")
    noted = AuditEntry.objects.filter(action="user.login_failed").order_by("id")
    assert [(entry.target, entry.org_id, entry.details["failures"], entry.ip) for entry in noted] == [
        ("alice", alice.org_id, 1, "192.0.2.0"),
        ("alice", alice.org_id, 3, "192.0.2.1"),
        ("alice", alice.org_id, 6, "192.0.2.2"),
    ]


@pytest.mark.usefixtures("_long_pauses")
@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_no_more_get_through(rf: RequestFactory) -> None:
    """All have begun before the first one has failed."""
    number, looked, lock = 12, 0, threading.Lock()
    everybody = threading.Barrier(number)

    def check() -> User | None:
        nonlocal looked
        with lock:
            looked += 1
        return None

    def attempt() -> None:
        everybody.wait(10)
        try:
            guarded(_from(rf, HOME), "alice", check)
        except RateLimited:
            pass
        finally:
            connection.close()

    _together(attempt, number)
    assert looked == 3


def test_a_login_changes_the_session_and_needs_a_csrf_token(alice: User) -> None:
    for door in DOORS[1:]:
        browser = Client(enforce_csrf_checks=True, REMOTE_ADDR=HOME)
        body = {"username": "alice", "password": PASSWORD}
        assert browser.post(door, body).status_code == 403
        browser.get(door)
        session = browser.session
        session["before"] = "kept"
        session.save()
        before, token = session.session_key, browser.cookies[_csrf_cookie()].value
        entered = browser.post(door, {**body, "csrfmiddlewaretoken": token})
        assert entered.status_code == 302
        assert browser.session.session_key != before
        assert browser.cookies[_csrf_cookie()].value != token


def _csrf_cookie() -> str:
    from django.conf import settings

    return str(settings.CSRF_COOKIE_NAME)


def _from(rf: RequestFactory, address: str) -> HttpRequest:
    return rf.post("/", REMOTE_ADDR=address)


def _together(attempt: Callable[[], None], number: int) -> None:
    threads = [threading.Thread(target=attempt) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
