"""The rounds of a leader: full batches follow each other, a failing duty holds up none, a stop is at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from psycopg.conninfo import make_conninfo

import scheduler.scheduler as module
from jobs import states
from jobs.models import Job, JobEvent, SchedulerLeader
from orgs.models import User
from scheduler.duties import Duty, release_due
from scheduler.scheduler import Scheduler
from scheduler.stopping import Stop
from tests.processes import database_url
from tests.waiting import wait_until

Lead = Callable[..., tuple[threading.Thread, Stop]]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lead(settings: object) -> Iterator[Lead]:
    """`lead(duties)`: a scheduler in a thread that leads with these duties alone until the test ends."""
    settings.DATABASE_DIRECT_DSN = make_conninfo(database_url())  # type: ignore[attr-defined]
    running: list[tuple[threading.Thread, Stop]] = []
    patch = pytest.MonkeyPatch()

    def start(*duties: Duty) -> tuple[threading.Thread, Stop]:
        patch.setattr(module, "duties_of_a_term", lambda: duties)
        stop = Stop()
        thread = threading.Thread(target=run, args=(stop,), daemon=True)
        thread.start()
        running.append((thread, stop))
        return running[-1]

    yield start
    for thread, stop in running:
        stop.set()
        thread.join(timeout=10)
        assert not thread.is_alive()
    patch.undo()


def run(stop: Stop) -> None:
    try:
        Scheduler(stop).run()
    finally:
        connection.close()


def delayed(submit: Callable[..., Job], user: User, count: int) -> None:
    first = submit(user)
    fields = {field.attname: getattr(first, field.attname) for field in Job._meta.concrete_fields}
    fields |= {"status": states.SCHEDULED, "queued_at": None, "run_at": timezone.now() - timedelta(hours=1)}
    del fields["id"]
    Job.objects.bulk_create(Job(**fields) for _ in range(count))


def test_a_backlog_of_due_jobs_goes_batch_by_batch_without_a_pause(
    bob: User,
    submit: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
    lead: Lead,
) -> None:
    """With a pause between two batches this backlog would take ten hours."""
    for place in (module, release_due):
        monkeypatch.setattr(place, "BATCH", 10)
    delayed(submit, bob, 95)
    lead(Duty("release_due", 3600, release_due.run))
    scheduled = Job.objects.filter(status=states.SCHEDULED)
    wait_until(lambda: not scheduled.exists(), 20, "all are queued")
    assert JobEvent.objects.filter(reason="due").values("at").distinct().count() == 10


def test_full_batches_leave_the_other_duties_their_turn(lead: Lead) -> None:
    turns: list[str] = []

    def busy(actor: str) -> int:
        turns.append("busy")
        return module.BATCH

    def other(actor: str) -> int:
        turns.append("other")
        return 0

    lead(Duty("busy", 3600, busy), Duty("other", 0.01, other))
    wait_until(lambda: turns.count("other") >= 3, 20, "the other duty has had three turns")
    assert "busy" in turns[turns.index("other") :]


def test_a_failing_duty_does_not_stop_the_others(lead: Lead) -> None:
    turns: list[str] = []

    def fails(actor: str) -> int:
        raise ValueError("on purpose")

    def works(actor: str) -> int:
        turns.append(actor)
        return 0

    lead(Duty("fails", 0.01, fails), Duty("works", 0.01, works))
    wait_until(lambda: len(turns) >= 3, 20, "the other duty goes on")
    assert turns[0].startswith("leader:")
    assert SchedulerLeader.objects.get().term == 1


def test_after_a_stop_no_further_duty_begins(lead: Lead) -> None:
    begun: list[str] = []
    going_on = threading.Event()

    def first(actor: str) -> int:
        begun.append("first")
        going_on.wait(20)
        return 0

    def second(actor: str) -> int:
        begun.append("second")
        return 0

    thread, stop = lead(Duty("first", 3600, first), Duty("second", 3600, second))
    wait_until(lambda: begun, 20, "the first duty runs")
    stop.set()
    going_on.set()
    thread.join(timeout=20)
    assert begun == ["first"]
