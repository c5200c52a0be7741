"""The windows of past runs as workers keep them: they add up, whoever adds at the same time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from jobs.claims import Claimed
from orgs.models import Organization
from predictor import keeping, selectors
from predictor.history import WINDOW, Ask
from predictor.keeping import Noted, Notes
from predictor.models import RunHistory, Trust
from predictor.shadow import Shadow
from tests.predictor.builders import NOW, alternating_history, ask, run
from tests.queue.claiming import wait_until_blocked

pytestmark = pytest.mark.django_db


def claimed(org: Organization, **fields: Any) -> Claimed:
    values: dict[str, Any] = dict.fromkeys(Claimed._fields)
    values |= {
        "id": 1,
        "org_id": org.pk,
        "name": "nightly",
        "type": "etl",
        "payload": {"rows": 5},
        "attempt": 1,
    }
    return Claimed(**values | {"timeout_s": settings.JOB_TIMEOUT_S, "wait_ms": 500.0} | fields)


def keep(*noted: Noted, now: float | None = None) -> None:
    notes = Notes()
    for one in noted:
        notes.note(one)
    keeping.keep(notes.take(), time.monotonic() if now is None else now)


def counts() -> dict[tuple[str, str, int], int]:
    rows = RunHistory.objects.values_list("job_type", "job_name", "user_id", "count")
    return {(job_type, name, user): count for job_type, name, user, count in rows}


def window(org: Organization, job_type: str = "etl", name: str = "nightly", user: int = 0) -> Any:
    row = RunHistory.objects.get(org=org, job_type=job_type, job_name=name, user_id=user)
    return selectors.window_of(row.runs, row.count)


def runtimes(found: Any) -> list[int]:
    return [round(math.exp(seen.log_ms)) for seen in found.runs]


def test_a_run_is_kept_in_all_of_its_circles(acme: Organization) -> None:
    keep(Noted(claimed(acme, user_id=7), "done", 1500.0, time.monotonic()))
    assert counts() == {
        ("etl", "nightly", 7): 1,
        ("etl", "nightly", 0): 1,
        ("etl", "", 7): 1,
        ("etl", "", 0): 1,
        ("", "", 0): 1,
    }
    assert runtimes(window(acme, user=7)) == runtimes(window(acme, "", "")) == [1500]


def test_without_a_submitter_each_circle_counts_it_once(acme: Organization) -> None:
    keep(Noted(claimed(acme), "failed", 1500.0, time.monotonic()))
    assert counts() == {("etl", "nightly", 0): 1, ("etl", "", 0): 1, ("", "", 0): 1}


def test_what_a_worker_keeps_is_what_training_reads(acme: Organization) -> None:
    """Else what was learned would not hold where it is used."""
    at = time.monotonic()
    job = claimed(acme, user_id=7, timeout_s=30.0, attempt=1)
    keep(Noted(job, "timeout", 30_000.0, at), now=at)
    (kept,) = window(acme, user=7).runs
    asked = Ask(
        acme.pk,
        "etl",
        "nightly",
        "low",
        kept.asked_at,
        7,
        30.0,
        traits=keeping.traits_of("nightly", {"rows": 5}),
    )
    wanted = keeping.seen(keeping.Run(asked, "timeout", 30_000.0, kept.ended_at))
    assert kept == pytest.approx(wanted)
    assert (kept.ended, kept.done) == (0.0, 0.0)
    assert kept.ended_at - kept.asked_at == pytest.approx(30.5)


@pytest.mark.parametrize("own_clock", [0.0, 5.0, 3_600.0, 4e9])
def test_the_clock_of_the_worker_does_not_matter(acme: Organization, own_clock: float) -> None:
    before = timezone.now().timestamp()
    keep(Noted(claimed(acme), "done", 1500.0, own_clock - 2.0), now=own_clock)
    (kept,) = window(acme).runs
    assert before - 3 < kept.ended_at < timezone.now().timestamp() - 1


def test_windows_are_trimmed_to_the_last_runs(acme: Organization) -> None:
    at = time.monotonic()
    for batch in range(3):
        keep(*(Noted(claimed(acme), "done", 1000.0 + 10 * batch + place, at + batch) for place in range(10)))
    found = window(acme)
    every = [1000 + 10 * batch + place for batch in range(3) for place in range(10)]
    assert (runtimes(found), found.count) == (every[-WINDOW:], 30)


def test_more_than_a_window_between_two_writes(acme: Organization) -> None:
    at = time.monotonic()
    keep(*(Noted(claimed(acme), "done", 1000.0 + number, at + number) for number in range(100)))
    keep(*(Noted(claimed(acme, name="other"), "done", 7.0, at + 200 + number) for number in range(2)))
    found = window(acme)
    assert (runtimes(found), found.count) == ([1100 - back for back in range(WINDOW, 0, -1)], 100)
    of_org = window(acme, "", "")
    assert (runtimes(of_org)[-3:], of_org.count) == ([1099, 7, 7], 102)


def test_notes_are_bounded_and_given_out_once(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST_KEYS", 2)
    notes = Notes()
    assert not notes
    for number in range(60):
        notes.note(Noted(claimed(acme, name=f"job-{number % 3}"), "done", 5.0, float(number)))
    taken = notes.take()
    assert [(count, len(last), last[0].job.name) for count, last in taken] == [
        (20, WINDOW, "job-0"),
        (20, WINDOW, "job-1"),
    ]
    assert (bool(notes), notes.take()) == (False, [])


def test_nothing_noted_is_written_without_complaint(db: None) -> None:
    keep()
    assert keeping.fill([]) == 0
    assert keeping.is_empty()


def test_filling_from_a_history_is_as_if_it_had_been_kept(acme: Organization) -> None:
    history = alternating_history(60, org_id=acme.pk)
    assert keeping.fill(reversed(history)) == 5
    assert not keeping.is_empty()
    found = window(acme, "etl", "job-0")
    assert found.count == 30
    assert runtimes(found) == [round(one.runtime_ms) for one in history[0::2][-WINDOW:]]


def test_stale_windows_are_dropped(acme: Organization) -> None:
    keeping.fill([run(org_id=acme.pk), run(org_id=acme.pk, job_name="old")])
    RunHistory.objects.filter(job_name="old").update(updated_at=timezone.now() - timedelta(days=91))
    assert keeping.drop_stale() == 1
    assert not RunHistory.objects.filter(job_name="old").exists()
    assert RunHistory.objects.filter(job_name="nightly").exists()


def test_trust_is_written_over(acme: Organization) -> None:
    first = Shadow([3.0, 2.0, 1.0, 2.0, 3.0], 0.1, -0.2, 9)
    keeping.keep_trust({(0, ""): first, (acme.pk, "etl"): first})
    assert selectors.overall_trust() == first
    keeping.keep_trust({(0, ""): Shadow(), (acme.pk, "etl"): Shadow([1.0] * 5, 1.0, 2.0, 10)})
    assert (Trust.objects.count(), selectors.overall_trust()) == (2, Shadow())
    known = selectors.known_for([ask(org_id=acme.pk)])
    assert known.trust[acme.pk, "etl"] == Shadow([1.0] * 5, 1.0, 2.0, 10)


def test_trust_of_an_organisation_that_is_gone_is_left_out(acme: Organization) -> None:
    keeping.keep_trust({(acme.pk + 1000, "etl"): Shadow(), (acme.pk, "etl"): Shadow()})
    assert list(Trust.objects.values_list("org")) == [(acme.pk,)]


def with_connection_closed(call: Callable[[], None]) -> None:
    try:
        call()
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_workers_that_add_to_the_same_windows_lose_nothing(acme: Organization) -> None:
    """Each in an order of its own: locks taken in that order would close a circle."""
    workers, writes, names = 4, 15, [f"job-{number}" for number in range(12)]
    together = Barrier(workers)

    def add(worker: int) -> None:
        together.wait(timeout=20)
        for number in range(writes):
            turned = names[worker * 3 :] + names[: worker * 3]
            order = turned if number % 2 else turned[::-1]
            jobs = [claimed(acme, name=name, user_id=place % 3) for place, name in enumerate(order)]
            keep(*(Noted(job, "done", 1000.0, time.monotonic()) for job in jobs))

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda worker: with_connection_closed(lambda: add(worker)), range(workers)))
    assert {name: window(acme, name=name).count for name in names} == dict.fromkeys(names, workers * writes)
    assert window(acme, "", "").count == workers * writes * len(names)
    assert len(window(acme, "", "").runs) == WINDOW


@pytest.mark.django_db(transaction=True)
def test_two_that_meet_in_the_middle_wait_for_each_other_and_not_in_a_circle(acme: Organization) -> None:
    """One has written and holds its locks; the other comes with the same windows, the other way round."""
    jobs = [claimed(acme, name=name) for name in ("a", "B", "ä", "b")]

    def add(order: list[Claimed]) -> None:
        keep(*(Noted(job, "done", 1000.0, time.monotonic()) for job in order))

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            add(jobs)
            other: Future[None] = pool.submit(with_connection_closed, lambda: add(jobs[::-1]))
            wait_until_blocked()
            add(jobs[::-1])
        other.result(timeout=20)
    assert window(acme, "", "").count == 12
    assert {window(acme, name=job.name).count for job in jobs} == {3}


def test_times_are_those_of_the_database(acme: Organization) -> None:
    keeping.fill([run(org_id=acme.pk)])
    (kept,) = window(acme).runs
    assert kept.ended_at == NOW - 60
