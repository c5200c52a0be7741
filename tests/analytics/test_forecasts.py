from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from analytics import collectors, forecasts
from jobs.models import Job, Pause, Worker

DAY = 24 * 60


@pytest.fixture
def arrive(submit):
    """`arrive(user, minutes_ago, ...)`: a job done long since for each of the times, which go forward."""

    def store(user, *minutes_ago, **values):
        now = timezone.now()
        fields = {name: getattr(submit(user), name) for name in ("org", "flow", "queue", "name", "type")}
        Job.objects.filter(status="queued", org=user.org, created_at__gte=now).delete()
        fields |= {"payload": {}, "rank": 0, "max_retries": 0, "timeout_s": 1, "status": "done", **values}
        times = [now - timedelta(minutes=ago) for ago in minutes_ago]
        jobs = [
            Job(**fields, created_at=at, finished_at=at if fields["status"] == "done" else None)
            for at in times
        ]
        return Job.objects.bulk_create(jobs)

    return store


def worker(**values):
    fields = {
        "worker_id": f"w{Worker.objects.count()}",
        "hostname": "h",
        "pid": 1,
        "concurrency": 4,
        **values,
    }
    return Worker.objects.create(**fields)


def read(queued=0):
    return forecasts.platform_forecast(collectors._rows, queued)


def last_ids(*ages):
    return dict(collectors._rows(forecasts.LAST_IDS, ages=[float(age) for age in ages]))


def every_minute(count, *, last=0.5, first=59.5):
    return [first - minute for minute in range(int(first - last) + 1) for _ in range(count)]


def test_nothing_is_expected_of_an_empty_platform(db):
    assert last_ids(0, 1) == {}
    found = read()
    assert set(found.arrivals + found.queued_s) == {0.0}
    assert found.workers_wanted == 1


def test_the_last_id_before_a_time_is_found_across_gaps(arrive, bob):
    ids = [job.pk for job in arrive(bob, *range(100, 0, -1))]
    Job.objects.filter(pk__in=[*ids[10:17], *ids[40:42], ids[60]]).delete()
    left = dict(Job.objects.values_list("pk", "created_at"))
    ages = [150, 99.5, 95.5, 75.5, 50.5, 20.5, 0.5, 0]
    found = last_ids(*ages)
    for age in ages:
        until = timezone.now() - timedelta(minutes=age)
        before = [pk for pk, at in left.items() if at <= until]
        assert len([pk for pk in left if pk <= found[age]]) == len(before)


def test_arrivals_of_the_last_hour_go_on(arrive, bob):
    arrive(bob, *every_minute(3))
    assert read().arrivals == pytest.approx([3] * forecasts.MINUTES, rel=0.05)


def test_a_platform_that_began_a_moment_ago_was_not_quiet_before(arrive, bob):
    arrive(bob, *every_minute(4, first=5.5))
    assert read().arrivals == pytest.approx([4] * forecasts.MINUTES, rel=0.05)


def test_what_came_at_this_time_on_earlier_days_comes_again(arrive, bob):
    rush = [day * DAY - minute - 0.5 for day in (3, 2, 1) for minute in range(15) for _ in range(20)]
    arrive(bob, 4 * DAY, *rush, *every_minute(1))
    assert read().arrivals == pytest.approx([21] * forecasts.MINUTES, rel=0.2)


def test_ids_drawn_for_nothing_do_not_count(arrive, bob):
    every_second = arrive(bob, *every_minute(4))[::2]
    Job.objects.filter(pk__in=[job.pk for job in every_second]).delete()
    assert read().arrivals == pytest.approx([2] * forecasts.MINUTES, rel=0.05)


def test_queued_work_is_what_was_predicted(arrive, bob):
    arrive(bob, *[DAY] * 3, status="queued", predicted_runtime_ms=20_000)
    arrive(bob, DAY, status="queued")
    assert read(queued=4).queued_s == pytest.approx([63] * forecasts.MINUTES)
    assert read(queued=400).queued_s == pytest.approx([6300] * forecasts.MINUTES)


@pytest.mark.parametrize("absurd", ["nan", "inf"])
def test_an_absurd_prediction_leaves_numbers(arrive, bob, absurd):
    arrive(bob, DAY, status="queued", predicted_runtime_ms=float(absurd))
    assert read(queued=1).queued_s[0] == 7 * 86_400
    assert read(queued=1).workers_wanted == 100


def test_paused_jobs_ask_for_no_worker(arrive, bob, charlie):
    arrive(bob, *[DAY] * 2, status="queued", predicted_runtime_ms=1e6)
    arrive(charlie, *[DAY] * 2, status="queued", predicted_runtime_ms=1e6)
    assert read(queued=4).queued_s[0] == pytest.approx(4000)
    pause = Pause.objects.create(org=bob.org, queue="default")
    assert read(queued=4).queued_s[0] == pytest.approx(2000)
    Pause.objects.filter(pk=pause.pk).update(queue="another")
    assert read(queued=4).queued_s[0] == pytest.approx(4000)
    Pause.objects.create()
    assert read(queued=4).queued_s[0] == 0


def test_only_workers_that_take_jobs_work_the_queue_off(arrive, bob):
    arrive(bob, DAY, status="queued", predicted_runtime_ms=1e6)
    worker(status="stopping")
    worker(wanted="drain")
    worker(last_seen=timezone.now() - timedelta(minutes=1))
    assert read(queued=1).queued_s[0] == pytest.approx(1000)
    worker(concurrency=2)
    worker(concurrency=6)
    assert read(queued=1).queued_s[:2] == pytest.approx((1000 - 8 * 60, 1000 - 16 * 60))


def test_settings_say_how_soon_and_how_many(arrive, bob, settings):
    arrive(bob, DAY, status="queued", predicted_runtime_ms=1e6)
    worker(concurrency=4)
    settings.BACKLOG_TARGET_S = 25
    assert read(queued=1).workers_wanted == 10
    settings.WORKERS_MAX = 3
    assert read(queued=1).workers_wanted == 3


def test_reading_goes_by_index_only(arrive, bob):
    """Without the planner's preference for scans of small tables: each part has an index that serves it."""
    arrive(bob, *every_minute(1))
    parameters = {"ages": [0.0, 30.0, 60.0], "sample": 10}
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        for statement in (forecasts.LAST_IDS, forecasts.FIRST_AGE, forecasts.LATEST, forecasts.WAITING):
            cursor.execute(f"EXPLAIN {statement}", parameters)
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "Seq Scan on jobs_job" not in plan
            assert "Sort" not in plan
