from __future__ import annotations

from datetime import timedelta

from analytics import depth
from analytics.models import QueueSample
from analytics.rollups import prune_samples, record_queue_samples
from jobs import claims
from jobs.models import Job
from tests.analytics.conftest import NOW

SECOND = timedelta(seconds=1)


def samples(org) -> list[tuple[int, int, int]]:
    rows = QueueSample.objects.filter(org=org).order_by("taken_at")
    return list(rows.values_list("queued", "running", "scheduled"))


def finish_all() -> None:
    Job.objects.update(status="cancelled", finished_at=NOW, lease_expires_at=None)


def test_depth_now_counts_unfinished_jobs(bob, charlie, submit):
    submit(bob, lane="high")
    submit(bob, type="shell", payload={"command": "true"}, run_at="2099-01-01T00:00:00Z")
    submit(charlie)
    now = depth.queue_depth(bob)
    assert now.by_status == {"scheduled": 1, "blocked": 0, "queued": 1, "running": 0}
    assert now.by_lane == {"high": 1, "normal": 1, "low": 0}
    assert now.by_type == {"http": 0, "shell": 1, "etl": 0, "ml": 0, "python": 1}
    finish_all()
    assert sum(depth.queue_depth(bob).by_status.values()) == 0


def test_samples_are_taken_of_organisations_with_work_and_once_after(acme, globex, bob, submit):
    assert record_queue_samples(NOW) == 0
    submit(bob)
    submit(bob)
    submit(bob, run_at="2099-01-01T00:00:00Z")
    claims.claim(worker_id="w", types=["python"], limit=1, lease_s=30)
    assert record_queue_samples(NOW + SECOND) == 1
    finish_all()
    assert record_queue_samples(NOW + 2 * SECOND) == 1
    assert record_queue_samples(NOW + 3 * SECOND) == 0
    assert samples(acme) == [(1, 1, 1), (0, 0, 0)]
    assert samples(globex) == []


def test_without_a_time_the_database_clock_counts(bob, submit):
    submit(bob)
    assert record_queue_samples() == 1
    assert QueueSample.objects.get().taken_at > NOW


def test_old_samples_are_pruned(bob, submit):
    submit(bob)
    record_queue_samples(NOW)
    record_queue_samples(NOW + SECOND)
    assert prune_samples(older_than=NOW + SECOND) == 1
    assert QueueSample.objects.get().taken_at == NOW + SECOND


def sample(org, minutes_ago: float, queued: int, running: int = 0, scheduled: int = 0) -> None:
    QueueSample.objects.create(
        org=org,
        taken_at=NOW - timedelta(minutes=minutes_ago),
        queued=queued,
        running=running,
        scheduled=scheduled,
    )


def series(user, **values):
    return depth.depth_series(user, now=NOW, **values)


def test_an_organisation_that_never_had_work_has_a_line_at_zero(bob):
    steps = series(bob)
    assert len(steps) == 120
    assert steps[0].start == NOW - timedelta(hours=1)
    assert {(step.queued, step.running, step.scheduled) for step in steps} == {(0.0, 0.0, 0.0)}


def test_steps_hold_the_most(acme, bob):
    sample(acme, 60 - 0.1, queued=2, running=1)
    sample(acme, 60 - 0.4, queued=4, scheduled=1)
    first, second, *_ = series(bob)
    assert (first.queued, first.running, first.scheduled) == (4, 1, 1)
    assert (second.queued, second.running, second.scheduled) == (None, None, None)


def test_idle_is_zero_and_unknown_is_none(acme, bob):
    sample(acme, 90, queued=5)
    sample(acme, 30.25, queued=0)
    sample(acme, 10.25, queued=7)
    queued = [step.queued for step in series(bob)]
    assert queued[:59] == [None] * 59
    assert queued[59:99] == [0.0] * 40
    assert queued[99] == 7.0
    assert queued[100:] == [None] * 20


def test_the_span_can_be_chosen(acme, bob):
    sample(acme, 30, queued=1)
    assert {step.queued for step in series(bob, minutes=10)} == {None}
    assert 1.0 in {step.queued for step in series(bob, minutes=1440)}


def test_organisations_add_up_for_a_platform_admin_only(acme, globex, bob, root_admin):
    for org in (acme, globex):
        sample(org, 0.1, queued=3)
    assert series(root_admin)[-1].queued == 6.0
    assert series(bob)[-1].queued == 3.0
