"""A worker's own row, and when it is removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from jobs import states
from jobs.models import Job, Worker
from orgs.models import User
from scheduler import registry
from scheduler.duties import housekeeping
from tests.queue.claiming import claim, end

pytestmark = pytest.mark.django_db

LONG_AGO = timezone.now() - timedelta(days=3)


def test_a_worker_writes_what_it_is() -> None:
    registry.register("w1", 4, lock_key=-7, queues=["reports"], types=["http", "etl"])
    registry.register("w1", 4, lock_key=-7, queues=["reports"], types=["http", "etl"])
    row = Worker.objects.get()
    assert (row.status, row.wanted, row.concurrency) == (Worker.ACTIVE, Worker.RUN, 4)
    assert (row.lock_key, row.queues, row.types) == (-7, ["reports"], ["http", "etl"])


def test_no_queues_means_all() -> None:
    registry.register("w1", 4, types=["http"])
    assert Worker.objects.get().queues is None


def test_a_clean_stop_is_noted() -> None:
    registry.register("w1", 4)
    registry.mark_stopped("w1")
    assert Worker.objects.get().status == Worker.STOPPED


def test_rows_of_workers_that_ended_are_removed_after_days(bob: User, submit: Callable[..., Job]) -> None:
    for name in ("stopped", "lost", "active", "fresh", "holds a job"):
        registry.register(name, 1)
    Worker.objects.exclude(pk__in=("active", "fresh")).update(status=Worker.STOPPED)
    Worker.objects.filter(pk="lost").update(status=Worker.LOST)
    Worker.objects.exclude(pk="fresh").update(last_seen=LONG_AGO)
    submit(bob)
    claim("holds a job")
    housekeeping.run("leader:x")
    left = {"active", "fresh", "holds a job"}
    assert set(Worker.objects.values_list("pk", flat=True)) == left


def test_keys_of_final_jobs_are_released_when_their_time_is_over(
    bob: User, submit: Callable[..., Job]
) -> None:
    over, fresh = submit(bob, idempotency_key="over"), submit(bob, idempotency_key="fresh")
    for job in claim():
        end(job)
    submit(bob, idempotency_key="unfinished")
    Job.objects.exclude(pk=fresh.pk).update(created_at=LONG_AGO)
    assert housekeeping.run("leader:x") == 1
    over.refresh_from_db()
    assert (over.idempotency_key, over.status) == (None, states.DONE)
    kept = Job.objects.exclude(idempotency_key=None).values_list("idempotency_key", flat=True)
    assert set(kept) == {"fresh", "unfinished"}
