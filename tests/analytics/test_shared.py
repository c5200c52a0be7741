from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics import selectors, shared
from tests.waiting import wait_until


def queries_of(user: Any) -> int:
    with CaptureQueriesContext(connection) as queries:
        selectors.summary(user)
    return len(queries)


def test_members_of_one_organisation_share_the_numbers(bob, vera, charlie, root_admin, submit):
    submit(bob)
    assert queries_of(bob) > 0
    assert queries_of(vera) == 0
    assert queries_of(charlie) > 0
    assert selectors.summary(charlie).jobs["queued"] == 0
    assert selectors.summary(vera).jobs["queued"] == 1
    assert selectors.summary(root_admin).jobs["queued"] == 1


def test_numbers_get_old(bob, submit, monkeypatch):
    assert selectors.summary(bob).jobs["queued"] == 0
    submit(bob)
    monkeypatch.setattr(shared, "FRESH_S", 0.0)
    assert selectors.summary(bob).jobs["queued"] == 1


def test_a_user_without_an_organisation_shares_nothing(bob, vera):
    bob.org_id = vera.org_id = None
    selectors.throughput(bob)
    vera.is_active = False
    assert sum(hour.done for hour in selectors.throughput(vera)) == 0
    assert shared._loads == {}


def test_those_who_come_during_a_load_wait_for_it(bob):
    release, loads = threading.Event(), list[int]()

    @shared.shared
    def slow(user: Any) -> int:
        loads.append(1)
        release.wait(10)
        return len(loads)

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(slow, bob)
        wait_until(lambda: loads, message="the load has begun")
        others = [pool.submit(slow, bob) for _ in range(2)]
        release.set()
        assert [one.result(10) for one in (first, *others)] == [1, 1, 1]


def test_a_failure_is_not_kept(bob):
    answers = iter([KeyError("x"), 7])

    @shared.shared
    def failing(user: Any) -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(KeyError):
        failing(bob)
    assert failing(bob) == 7
