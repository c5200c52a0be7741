from __future__ import annotations

from datetime import timedelta

import pytest

from analytics import selectors, shared
from jobs.models import SchedulerLeader, Worker
from tests.analytics.conftest import NOW


def test_throughput_has_24_hours_with_zeros(bob, charlie, log):
    log(bob)
    log(bob, hours_ago=0.4)
    log(bob, hours_ago=1, outcome="timeout")
    log(bob, hours_ago=1, outcome="failed", final=False)
    log(bob, hours_ago=23, outcome="cancelled")
    log(bob, hours_ago=24)
    log(charlie, hours_ago=2)

    hours = selectors.throughput(bob, NOW)

    assert [hour.hour for hour in hours] == [
        NOW.replace(minute=0) - timedelta(hours=back) for back in reversed(range(24))
    ]
    counts = [(hour.done, hour.failed, hour.cancelled, hour.retried) for hour in hours]
    assert counts[23] == (2, 0, 0, 0)
    assert counts[22] == (0, 1, 0, 1)
    assert counts[0] == (0, 0, 1, 0)
    assert all(count == (0, 0, 0, 0) for count in counts[1:22])


def test_accuracy_is_what_a_calculator_says(bob, log):
    for predicted, actual in ((100.0, 100.0), (300.0, 100.0), (50.0, 100.0), (100.0, 400.0)):
        log(bob, predicted_runtime_ms=predicted, runtime_ms=actual)
    log(bob, predicted_runtime_ms=None)
    log(bob, predicted_runtime_ms=9e9, outcome="failed")
    log(bob, predicted_runtime_ms=9e9, hours_ago=25)

    accuracy = selectors.prediction_accuracy(bob, NOW)

    assert accuracy.attempts == 4
    assert accuracy.mape == pytest.approx((0 + 2 + 0.5 + 0.75) / 4)
    assert accuracy.median_ape == pytest.approx((0.5 + 0.75) / 2)
    assert accuracy.log2_error == pytest.approx((0 + 1.5849625 + 1 + 2) / 4)
    assert accuracy.within_2x == pytest.approx(0.5)


def test_accuracy_without_attempts_is_none(bob):
    assert selectors.prediction_accuracy(bob, NOW) == selectors.Accuracy()
    assert selectors.prediction_accuracy_by_type(bob, NOW) == []
    assert {hour.mape for hour in selectors.prediction_accuracy_by_hour(bob, NOW)} == {None}


def test_runtimes_of_zero_have_no_infinite_error(bob, log):
    log(bob, predicted_runtime_ms=0.0, runtime_ms=0.0)
    log(bob, predicted_runtime_ms=3.0, runtime_ms=0.0)
    assert selectors.prediction_accuracy(bob, NOW).mape == pytest.approx(1.0)


def test_accuracy_by_type_and_hour(bob, log):
    log(bob, job_type="shell", predicted_runtime_ms=200.0)
    log(bob, job_type="http", hours_ago=3)
    log(bob, job_type="http", hours_ago=3, predicted_runtime_ms=150.0)
    by_type = selectors.prediction_accuracy_by_type(bob, NOW)
    assert [(one.type, one.attempts, one.mape) for one in by_type] == [("http", 2, 0.25), ("shell", 1, 1.0)]
    by_hour = selectors.prediction_accuracy_by_hour(bob, NOW)
    assert [(number, one.mape) for number, one in enumerate(by_hour) if one.attempts] == [
        (20, 0.25),
        (23, 1.0),
    ]
    assert by_hour[20].hour == NOW.replace(hour=9, minute=0)


def test_points_are_the_latest_200_oldest_first(bob, charlie, log, monkeypatch):
    logs = [log(bob, runtime_ms=float(number)) for number in range(4)]
    log(bob, outcome="failed")
    log(charlie)
    assert [point.job_id for point in selectors.prediction_points(bob)] == [one.job_id for one in logs]
    monkeypatch.setattr(selectors, "POINTS", 2)
    shared.clear()
    assert [point.runtime_ms for point in selectors.prediction_points(bob)] == [2.0, 3.0]


def test_summary_counts_and_percentiles(bob, submit, log):
    log(bob, wait_ms=10, runtime_ms=100)
    log(bob, wait_ms=30, runtime_ms=300)
    log(bob, outcome="crashed", wait_ms=20, runtime_ms=200)
    log(bob, outcome="failed", final=False, wait_ms=20, runtime_ms=200)
    submit(bob, run_at="2099-01-01T00:00:00Z")
    Worker.objects.create(worker_id="a", hostname="h", pid=1, concurrency=4, running=3)
    Worker.objects.create(worker_id="b", hostname="h", pid=2, concurrency=4, running=0, status="stopped")

    summary = selectors.summary(bob, NOW)

    assert summary.jobs == {"scheduled": 1, "blocked": 0, "queued": 4, "running": 0}
    day = summary.last_24h
    assert (day.done, day.failed, day.cancelled, day.retried) == (2, 1, 0, 1)
    assert day.success_rate == pytest.approx(2 / 3)
    assert (day.wait_ms_p50, day.run_ms_p50) == (20, 200)
    assert summary.pool == selectors.Pool(workers=1, slots=4, busy=3)


def test_percentiles_and_errors_are_of_the_newest_attempts(bob, charlie, log, monkeypatch):
    monkeypatch.setattr(selectors, "SAMPLE", 2)
    for runtime_ms in (1.0, 200.0, 400.0):
        log(bob, runtime_ms=runtime_ms)
        log(charlie, runtime_ms=1.0)
    summary = selectors.summary(bob, NOW)
    assert (summary.last_24h.done, summary.last_24h.run_ms_p50) == (2, 300.0)
    assert summary.prediction.attempts == 2
    assert selectors.throughput(bob, NOW)[-1].done == 3


def test_an_empty_summary(bob):
    day = selectors.summary(bob, NOW).last_24h
    assert (day.done, day.success_rate, day.wait_ms_p50) == (0, None, None)


def test_the_leader_has_an_age(db):
    assert selectors.scheduler_leader() == selectors.Leader()
    row = SchedulerLeader.objects.create(worker_id="s", term=2)
    leader = selectors.scheduler_leader()
    assert (leader.worker_id, leader.term, leader.alive) == ("s", 2, True)
    SchedulerLeader.objects.update(last_seen=row.last_seen - timedelta(seconds=60))
    old = selectors.scheduler_leader()
    assert not old.alive
    assert old.age_s is not None
    assert old.age_s >= 60


def test_a_platform_admin_sees_the_sum(root_admin, bob, charlie, log):
    log(bob)
    log(charlie)
    assert selectors.throughput(root_admin, NOW)[-1].done == 2
    assert selectors.throughput(bob, NOW)[-1].done == 1
