"""The leader's estimates of the head of a real queue: who starts when, and who has no estimate."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs import claims, control, eta_snapshot, eta_store, states
from jobs.eta_models import Eta
from jobs.eta_store import Estimates
from jobs.limit_models import Gate, Limit, Share
from jobs.models import Job, Worker
from orgs.models import User
from tests.eta.conftest import starts_in

Waiting = Callable[..., Job]
pytestmark = pytest.mark.usefixtures("uncorrected")
ABOUT = 1.5


def refresh() -> int:
    return Estimates().refresh()


def about(*seconds: float) -> Any:
    return pytest.approx(seconds, abs=ABOUT)


def test_jobs_start_as_slots_become_free(bob: User, worker: Worker, waiting: Waiting) -> None:
    jobs = [waiting(bob, 10.0) for _ in range(6)]
    assert refresh() == 6
    assert tuple(map(starts_in, jobs)) == about(0, 0, 10, 10, 20, 20)
    last = Eta.objects.get(pk=jobs[-1].pk)
    assert last.start_low_at <= last.start_at <= last.start_high_at < last.finish_at <= last.finish_high_at


def test_what_runs_holds_its_slot_for_what_is_left(bob: User, worker: Worker, waiting: Waiting) -> None:
    for seconds in (10.0, 30.0):
        waiting(bob, seconds)
    claimed = claims.claim(worker_id="w1", types=["python"], limit=2, lease_s=60)
    Job.objects.filter(pk__in=[one.id for one in claimed]).update(
        started_at=F("started_at") - timedelta(seconds=5)
    )
    jobs = [waiting(bob), waiting(bob)]
    refresh()
    assert tuple(map(starts_in, jobs)) == about(5, 15)


def test_organisations_take_turns(bob: User, charlie: User, worker: Worker, waiting: Waiting) -> None:
    Worker.objects.update(concurrency=1)
    many = [waiting(bob, 10.0) for _ in range(4)]
    late = waiting(charlie, 10.0)
    refresh()
    assert (starts_in(many[0]), starts_in(late), starts_in(many[1])) == about(0, 10, 20)
    Share.objects.create(org=late.org, lead_s=25.0)
    Estimates().refresh()
    assert starts_in(late) == pytest.approx(30, abs=3)


def test_limits_hold_jobs_back(bob: User, worker: Worker, waiting: Waiting) -> None:
    keyed = [waiting(bob, 10.0, concurrency_key="k") for _ in range(2)]
    free = waiting(bob, 10.0)
    refresh()
    assert tuple(map(starts_in, [*keyed, free])) == about(0, 10, 0)
    Limit.objects.create(org=free.org, scope="org", max_running=1)
    refresh()
    assert tuple(map(starts_in, [*keyed, free])) == about(0, 10, 20)


def test_a_rate_limit_spaces_starts(bob: User, worker: Worker, waiting: Waiting) -> None:
    jobs = [waiting(bob, 1.0) for _ in range(3)]
    Limit.objects.create(org=jobs[0].org, scope="queue", name="default", rate_count=1, rate_period_s=20)
    Gate.objects.create(org=jobs[0].org, scope="queue", name="default", tokens=0.5)
    refresh()
    assert tuple(map(starts_in, jobs)) == about(10, 30, 50)


def test_nothing_is_known_of_what_nobody_takes(bob: User, worker: Worker, waiting: Waiting) -> None:
    waiting(bob, type="shell", payload={"command": "true"})
    waiting(bob, queue="elsewhere")
    taken = waiting(bob)
    Worker.objects.update(types=["python"], queues=["default"])
    refresh()
    assert set(Eta.objects.values_list("pk", flat=True)) == {taken.pk}
    Eta.objects.all().delete()
    Worker.objects.update(last_seen=timezone.now() - timedelta(minutes=5))
    assert refresh() == 0


def test_paused_jobs_have_no_estimate_and_hold_up_nobody(
    alice: User, worker: Worker, waiting: Waiting
) -> None:
    for _ in range(5):
        waiting(alice, queue="slow")
    control.pause(user=alice, queue="slow")
    job = waiting(alice)
    refresh()
    assert set(Eta.objects.values_list("pk", flat=True)) == {job.pk}
    assert starts_in(job) < 1


def test_without_any_history_nothing_is_guessed(bob: User, worker: Worker, waiting: Waiting) -> None:
    waiting(bob, source="cold_start")
    assert refresh() == 0
    waiting(bob, source="base")
    assert refresh() == 2


def test_delayed_jobs_count_when_they_are_due(bob: User, worker: Worker, waiting: Waiting) -> None:
    Worker.objects.update(concurrency=1)
    running, urgent, last = waiting(bob, 10.0), waiting(bob, 10.0), waiting(bob, 10.0)
    Job.objects.filter(pk=urgent.pk).update(
        status=states.SCHEDULED, queued_at=None, run_at=timezone.now() + timedelta(seconds=5)
    )
    refresh()
    assert (starts_in(running), starts_in(last)) == about(0, 20)
    assert not Eta.objects.filter(pk=urgent.pk).exists()


def test_a_steady_estimate_is_not_written_again(bob: User, worker: Worker, waiting: Waiting) -> None:
    for _ in range(4):
        waiting(bob, 100.0)
    assert refresh() == 4
    assert refresh() == 0
    Eta.objects.update(as_of=F("as_of") - timedelta(seconds=eta_store.RENEW_S + 1))
    assert refresh() == 4


def test_the_first_estimate_stays(bob: User, worker: Worker, waiting: Waiting) -> None:
    Worker.objects.update(concurrency=1)
    ahead, job = waiting(bob, 10.0), waiting(bob, 10.0)
    refresh()
    first = Eta.objects.get(pk=job.pk)
    Job.objects.filter(pk=ahead.pk).update(predicted_runtime_ms=60_000, predicted_low_ms=None)
    refresh()
    now = Eta.objects.get(pk=job.pk)
    assert now.start_at > first.start_at + timedelta(seconds=30)
    assert (now.first_at, now.first_high_at, now.first_raw) == (
        first.first_at,
        first.first_high_at,
        first.first_raw,
    )


def test_of_a_long_queue_only_the_head_is_read(
    bob: User, charlie: User, worker: Worker, waiting: Waiting
) -> None:
    mine, theirs = waiting(bob), waiting(charlie)
    for job, count in ((mine, 1500), (theirs, 3)):
        fields = {
            field.attname: getattr(job, field.attname)
            for field in Job._meta.concrete_fields
            if field.name != "id"
        }
        Job.objects.bulk_create(Job(**{**fields, "rank": job.rank + place}) for place in range(1, count))
    with CaptureQueriesContext(connection) as queries:
        written = refresh()
    assert 100 < written <= 300
    assert Eta.objects.filter(org=theirs.org_id).count() == 3
    [head] = [query["sql"] for query in queries if "wanted(flow_id)" in query["sql"]]
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + head)
        plan = cursor.fetchone()[0]
    assert max(rows_of(plan[0]["Plan"])) <= eta_snapshot.MOST_STARTS
    assert "job_head_of_flow" in str(plan)


def rows_of(node: dict[str, Any]) -> list[int]:
    """Rows that each scan of jobs read at a time."""
    mine = [node["Actual Rows"]] if node.get("Relation Name") == "jobs_job" else []
    return mine + [rows for child in node.get("Plans", []) for rows in rows_of(child)]
