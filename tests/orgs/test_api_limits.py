"""How many requests a user and an organisation may send to the API; how processes share a limit."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings
from rest_framework.test import APIClient

from orgs import api_limits
from orgs.api_limits import BLOCKS, SharedLimit, _blocks_of
from orgs.exceptions import RateLimited
from orgs.models import User
from orgs.tokens import issue_access_token

# A window of a year has no edge today.
YEAR = "365d"


def passed(limit: SharedLimit, rate: str, requests: int, who: str = "1") -> int:
    """How many of so many requests are let through."""
    found = 0
    for _ in range(requests):
        try:
            limit.count(who, rate)
        except RateLimited as error:
            assert (error.retry_after_s or 0) >= 1
        else:
            found += 1
    return found


@given(most=st.integers(1, 10**9))
def test_all_blocks_together_are_the_limit(most: int) -> None:
    size, blocks, last = _blocks_of(f"{most}/m")
    assert size * (blocks - 1) + last == most
    assert 1 <= last <= size
    assert blocks < 2 * BLOCKS


@pytest.mark.django_db
@pytest.mark.parametrize("most", [1, 7, 99, 105, 1017])
def test_processes_together_let_exactly_the_limit_through(most: int) -> None:
    """Each has its own blocks in memory, as two processes have."""
    one, other = SharedLimit("test"), SharedLimit("test")
    first = passed(one, f"{most}/{YEAR}", most // 3)
    rest = passed(other, f"{most}/{YEAR}", most)
    assert first + rest <= most
    assert first + rest + passed(one, f"{most}/{YEAR}", most) == most
    assert passed(SharedLimit("test"), f"{most}/{YEAR}", 3) == 0


@pytest.mark.django_db
def test_a_process_can_hold_back_a_fiftieth_at_most() -> None:
    idle, busy = SharedLimit("test"), SharedLimit("test")
    assert passed(idle, f"1000/{YEAR}", 1) == 1
    assert passed(busy, f"1000/{YEAR}", 1000) == 1000 - 1000 // BLOCKS


@pytest.mark.django_db
def test_whoever_is_refused_costs_no_more_writes(django_assert_num_queries: Callable[..., object]) -> None:
    limit = SharedLimit("test")
    assert passed(limit, f"2/{YEAR}", 3) == 2
    with django_assert_num_queries(0):  # type: ignore[attr-defined]
        assert passed(limit, f"2/{YEAR}", 100) == 0


@pytest.mark.django_db
def test_what_is_given_back_can_be_used_by_the_same_process() -> None:
    limit = SharedLimit("test")
    assert passed(limit, f"2/{YEAR}", 2) == 2
    limit.give_back("1", f"2/{YEAR}")
    assert passed(limit, f"2/{YEAR}", 2) == 1


@pytest.mark.django_db
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_limits, "MOST_HELD", 3)
    limit = SharedLimit("test")
    for who in range(8):
        limit.count(str(who), f"1000/{YEAR}")
        assert len(limit._held) <= 3


@pytest.mark.django_db(transaction=True)
def test_threads_share_what_their_process_holds() -> None:
    limit, found, together = SharedLimit("test"), [], threading.Barrier(6)

    def requests() -> None:
        together.wait(10)
        found.append(passed(limit, f"500/{YEAR}", 150))
        connection.close()

    threads = [threading.Thread(target=requests) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sum(found) == 500


@pytest.mark.django_db
def test_a_user_over_the_limit_is_refused_and_others_are_not(
    settings: Settings, alice: User, bob: User, api: Callable[[User | None], APIClient]
) -> None:
    settings.RATE_USER = f"2/{YEAR}"
    codes = [api(bob).get(path).status_code for path in ("/jobs/", "/orgs/me", "/jobs/")]
    assert codes == [200, 200, 429]
    answer = api(bob).get("/orgs/me")
    assert answer.json()["error"]["code"] == "rate_limited"
    assert int(answer.headers["Retry-After"]) >= 1
    assert api(alice).get("/orgs/me").status_code == 200


@pytest.mark.django_db
def test_an_organisation_shares_a_limit(
    settings: Settings, alice: User, bob: User, charlie: User, api: Callable[[User | None], APIClient]
) -> None:
    settings.RATE_USER, settings.RATE_ORG = f"3/{YEAR}", f"2/{YEAR}"
    codes = [api(user).get("/orgs/me").status_code for user in (alice, bob, bob, alice, charlie)]
    assert codes == [200, 200, 429, 429, 200]
    # What the organisation's limit refuses is not counted against its users.
    settings.RATE_ORG = ""
    assert [api(bob).get("/orgs/me").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.django_db
def test_the_session_of_a_browser_counts_as_its_user(settings: Settings, bob: User) -> None:
    settings.RATE_USER = f"2/{YEAR}"
    browser = APIClient()
    browser.force_login(bob)
    by_token = APIClient()
    by_token.credentials(HTTP_AUTHORIZATION=f"Bearer {issue_access_token(bob)}")
    codes = [client.get("/orgs/me").status_code for client in (browser, by_token, browser)]
    assert codes == [200, 200, 429]


@pytest.mark.django_db
def test_limits_can_be_off(settings: Settings, bob: User, api: Callable[[User | None], APIClient]) -> None:
    settings.RATE_USER = settings.RATE_ORG = ""
    assert {api(bob).get("/orgs/me").status_code for _ in range(3)} == {200}
