"""What is said of one job: from the leader's table, beside it, behind it, or why nothing can be said."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from jobs import claims, control, eta, eta_behind, services
from jobs.eta_models import Eta
from jobs.eta_store import Estimates
from jobs.limit_models import Limit
from jobs.models import Job, Worker
from orgs.models import User
from tests.eta.conftest import predicted

Waiting = Callable[..., Job]
pytestmark = pytest.mark.usefixtures("uncorrected")


def seconds(job: Job) -> tuple[float, float, float]:
    """Low, middle and high of the start, from now."""
    now = timezone.now()
    found = eta.estimate(job, now=now)
    assert found.unknown is None
    ends = (found.start_low_at, found.start_at, found.start_high_at)
    low, middle, high = ((end - now).total_seconds() for end in ends if end is not None)
    assert low <= middle <= high
    assert found.finish_at is not None
    assert found.start_at is not None
    assert found.finish_at > found.start_at
    return low, middle, high


def start(limit: int) -> None:
    claims.claim(worker_id="w1", types=["python"], limit=limit, lease_s=60)


def test_the_leaders_estimate_is_used_while_it_is_fresh(bob: User, worker: Worker, waiting: Waiting) -> None:
    job = waiting(bob)
    Estimates().refresh()
    moved = timedelta(seconds=500)
    Eta.objects.update(
        start_low_at=F("start_low_at") + moved,
        start_at=F("start_at") + moved,
        start_high_at=F("start_high_at") + moved,
        finish_at=F("finish_at") + moved,
    )
    assert seconds(job)[1] == pytest.approx(500, abs=5)
    Eta.objects.update(as_of=F("as_of") - timedelta(seconds=eta.FRESH_S + 1))
    assert seconds(job)[1] < 5


def test_what_lies_behind_is_now(bob: User, worker: Worker, waiting: Waiting) -> None:
    job = waiting(bob)
    Estimates().refresh()
    Eta.objects.update(start_at=F("start_at") - timedelta(hours=1), start_high_at=F("start_at"))
    now = timezone.now()
    assert eta.estimate(job, now=now).start_at == now


def test_a_new_job_takes_the_place_of_the_one_behind_it(bob: User, worker: Worker, waiting: Waiting) -> None:
    jobs = [waiting(bob, 10.0) for _ in range(6)]
    Estimates().refresh()
    new = waiting(bob, 10.0)
    Job.objects.filter(pk=new.pk).update(rank=jobs[4].rank - 0.5)
    new.refresh_from_db()
    assert seconds(new)[1] == pytest.approx(20, abs=3)


def test_behind_the_head_work_is_counted(bob: User, worker: Worker, waiting: Waiting) -> None:
    for _ in range(10):
        waiting(bob, 10.0)
    job = waiting(bob, 10.0)
    low, middle, high = seconds(job)
    assert middle == pytest.approx(50, abs=1)
    assert low < 40
    assert high > 60
    Worker.objects.update(concurrency=10)
    assert seconds(job)[1] == pytest.approx(10, abs=1)


def test_what_runs_is_counted(bob: User, worker: Worker, waiting: Waiting) -> None:
    for _ in range(2):
        waiting(bob, 30.0)
    start(2)
    assert seconds(waiting(bob, 10.0))[1] == pytest.approx(30, abs=3)


def test_others_have_their_share(bob: User, charlie: User, worker: Worker, waiting: Waiting) -> None:
    waiting(charlie, 10.0)
    Estimates().refresh()
    for _ in range(4):
        waiting(bob, 10.0)
    job = waiting(bob, 10.0)
    assert seconds(job)[1] == pytest.approx(40, abs=1)
    bob.org.__class__.objects.filter(pk=bob.org_id).update(weight=3.0)
    assert seconds(job)[1] == pytest.approx(40 * 4 / 6, abs=1)


def test_limits_slow_it_down(bob: User, worker: Worker, waiting: Waiting) -> None:
    for _ in range(4):
        waiting(bob, 10.0, concurrency_key="k")
    keyed = waiting(bob, 10.0, concurrency_key="k")
    assert seconds(keyed)[1] == pytest.approx(40, abs=1)
    Limit.objects.create(org_id=bob.org_id, scope="key", name="*", max_running=2)
    assert seconds(keyed)[1] == pytest.approx(20, abs=1)
    Limit.objects.create(org_id=bob.org_id, scope="org", max_running=1)
    assert seconds(keyed)[1] == pytest.approx(40, abs=1)
    Limit.objects.filter(scope="org").update(max_running=0)
    assert eta.estimate(keyed) == eta.Estimate(unknown=eta.LIMIT)


def test_a_running_job_has_a_start_and_an_end(bob: User, worker: Worker, waiting: Waiting) -> None:
    job = waiting(bob, 60.0)
    start(1)
    job.refresh_from_db()
    assert job.started_at is not None
    found = eta.estimate(job, now=job.started_at + timedelta(seconds=20))
    assert (found.start_at, found.start_low_at, found.start_high_at) == (job.started_at,) * 3
    assert found.finish_at is not None
    assert (found.finish_at - job.started_at).total_seconds() == pytest.approx(60, abs=3)
    assert found.finish_low_at < found.finish_at < found.finish_high_at  # type: ignore[operator]
    late = eta.estimate(job, now=job.started_at + timedelta(seconds=600))
    assert late.finish_at is not None
    assert late.finish_at > job.started_at + timedelta(seconds=600)


def test_why_nothing_is_known(alice: User, worker: Worker, waiting: Waiting, submit: Waiting) -> None:
    job = waiting(alice)
    Worker.objects.update(wanted="drain")
    assert eta.estimate(job) == eta.Estimate(unknown=eta.NO_WORKER)
    Worker.objects.update(wanted="run", types=["shell"])
    assert eta.estimate(job) == eta.Estimate(unknown=eta.NO_WORKER)
    Worker.objects.update(types=["python"])
    control.pause(user=alice)
    assert eta.estimate(job) == eta.Estimate(unknown=eta.PAUSED)
    delayed = submit(alice, run_at=timezone.now() + timedelta(hours=1))
    assert eta.estimate(delayed) == eta.Estimate(unknown=eta.NOT_DUE)
    services.cancel(job=job, user=alice)
    job.refresh_from_db()
    assert eta.estimate(job) == eta.Estimate()


def test_without_a_history_only_a_free_slot_is_certain(bob: User, worker: Worker, waiting: Waiting) -> None:
    first = waiting(bob, source="cold_start")
    found = eta.estimate(first)
    assert found.start_at is not None
    assert (found.finish_at, found.unknown) == (None, eta.NO_HISTORY)
    second = waiting(bob, source="fallback")
    assert eta.estimate(second) == eta.Estimate(unknown=eta.NO_HISTORY)
    predicted(first, 10.0, "base")
    assert eta.estimate(second).start_at is not None


def test_a_running_job_without_a_history_has_no_end(bob: User, worker: Worker, waiting: Waiting) -> None:
    job = waiting(bob, source="cold_start")
    start(1)
    job.refresh_from_db()
    assert eta.estimate(job) == eta.Estimate(*[job.started_at] * 3, unknown=eta.NO_HISTORY)


def test_far_behind_nobody_knows(
    bob: User, worker: Worker, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eta_behind, "MOST_AHEAD", 3)
    for _ in range(3):
        waiting(bob)
    assert eta.estimate(waiting(bob)) == eta.Estimate(unknown=eta.TOO_FAR)


def test_asking_costs_the_same_few_queries_however_long_the_queue(
    bob: User, worker: Worker, waiting: Waiting
) -> None:
    job = waiting(bob)
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            eta.estimate(job)
        counts.append(len(queries))
        for _ in range(10):
            waiting(bob)
        Job.objects.filter(pk=job.pk).update(rank=F("rank") + 1e6)
        job.refresh_from_db()
    assert max(counts) <= 11


free = st.lists(st.floats(0, 1e4), min_size=1, max_size=8).map(sorted)


@given(free, st.floats(0, 1e5))
def test_work_fills_slots_from_the_first_free_one(free_in_s: list[float], work_s: float) -> None:
    level = eta_behind.filled(free_in_s, work_s)
    poured = sum(max(level - slot, 0.0) for slot in free_in_s)
    assert poured == pytest.approx(work_s, abs=1e-3, rel=1e-6)
    assert level >= free_in_s[0]
