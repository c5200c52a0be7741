"""Random histories of one queue and two workers, held after every step against a model in plain Python.

Everything is committed, as the claim's memory goes by what other transactions have done; the rows are
cleared before each history.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from jobs import claims, leases, reclaims, services, states
from jobs.claims import Claimed, Ending, Finish, Heads
from jobs.limit_models import EVERYTHING
from jobs.models import ExecutionLog, Flow, Gate, GateOpening, Job, JobEvent, Limit, Pause
from jobs.payloads import JOB_TYPES
from orgs import roles
from orgs.models import Organization, User

WORKERS = ("w0", "w1")
QUEUES = ("default", "mail")
ENDINGS: tuple[Ending, ...] = ("done", "failed", "timeout", "cancelled", "released", "snoozed")
TABLES = (
    "jobs_job, jobs_flow, jobs_jobevent, jobs_executionlog, jobs_logline, jobs_worker, jobs_pause, jobs_limit,"
    " jobs_gate, jobs_gateopening"
)

INSERT_QUEUED = """
INSERT INTO jobs_job (org_id, flow_id, queue, name, type, payload, lane, status, priority, rank,
    prediction_source, queued_at, attempt, retry_count, max_retries, timeout_s, cancel_requested, error_msg,
    request_hash)
VALUES (%s, %s, %s, 'late', 'python', '{}', 'normal', 'queued', 0.5, %s, 'fallback', now(), 0, 0, 1, 60, false,
    '', '')
RETURNING id
"""


@dataclass
class Expected:
    """What the model holds of one job."""

    status: str
    rank: float
    queue: str
    max_retries: int
    attempt: int = 0
    retries: int = 0
    worker: str = ""
    cancel_requested: bool = False
    ended: list[str] = field(default_factory=list)

    def lose_or_fail(self) -> str:
        """The attempt came to nothing: where the job stands when nobody may try again."""
        return states.CANCELLED if self.cancel_requested else states.FAILED


class QueueMachine(RuleBasedStateMachine):
    """Rules are what people, workers and the leader do; invariants are read from the database."""

    def __init__(self) -> None:
        super().__init__()
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {TABLES} CASCADE")
        self.org, _ = Organization.objects.get_or_create(name="machine")
        self.user = User.objects.filter(username="machinist").first() or User.objects.create_user(
            username="machinist", org=self.org, role=roles.ORG_ADMIN
        )
        self.flows = {
            queue: Flow.objects.create(org=self.org, queue=queue, type="python") for queue in QUEUES
        }
        self.limited = QUEUES[0]
        self.gate = Gate.objects.create(org=self.org, scope="queue", name=self.limited)
        self.limit = Limit.objects.create(org=self.org, scope="queue", name=self.limited, max_running=2)
        self.jobs: dict[int, Expected] = {}
        self.heads = {worker: Heads() for worker in WORKERS}
        self.claimed: list[tuple[str, Claimed]] = []
        self.paused: set[str] = set()
        self.open: list[tuple[psycopg.Connection[Any], int, Expected]] = []

    def teardown(self) -> None:
        for session, _, _ in self.open:
            session.close()

    # What people do

    @rule(retries=st.integers(0, 2), queue=st.sampled_from(QUEUES), delay_s=st.sampled_from([0, 0, 3600]))
    def submit(self, retries: int, queue: str, delay_s: int) -> None:
        job = services.submit(
            org=self.org, user=self.user, name="x", type="python", payload={"function": "noop"}, queue=queue,
            max_retries=retries, run_at=timezone.now() + timedelta(seconds=delay_s) if delay_s else None,
        )  # fmt: skip
        status = states.SCHEDULED if delay_s else states.QUEUED
        self.jobs[job.pk] = Expected(status, job.rank, queue, retries)

    @rule(queue=st.sampled_from(QUEUES), rank=st.floats(0, 4e9))
    def begin_to_submit(self, queue: str, rank: float) -> None:
        """Another session inserts a job, and commits at some later step."""
        session = psycopg.connect(**_parameters())
        row = session.execute(INSERT_QUEUED, [self.org.pk, self.flows[queue].pk, queue, rank]).fetchone()
        assert row is not None
        self.open.append((session, row[0], Expected(states.QUEUED, rank, queue, 1)))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), commit=st.booleans())
    def end_submission(self, data: st.DataObject, commit: bool) -> None:
        session, job_id, expected = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        if commit:
            session.commit()
            self.jobs[job_id] = expected
        session.close()

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.jobs)))
        job, row = self.jobs[job_id], Job.objects.get(pk=job_id)
        if job.status in states.FINAL:
            with pytest.raises(services.AlreadyFinal):
                services.cancel(job=row, user=self.user)
            return
        services.cancel(job=row, user=self.user)
        job.cancel_requested = True
        if job.status != states.RUNNING:
            job.status = states.CANCELLED

    @rule(queue=st.sampled_from(QUEUES))
    def pause_or_resume(self, queue: str) -> None:
        if queue in self.paused:
            Pause.objects.filter(queue=queue).delete()
            GateOpening.objects.create(gate_id=EVERYTHING)
            self.paused.remove(queue)
        else:
            Pause.objects.create(org=self.org, queue=queue)
            self.paused.add(queue)

    @rule(most=st.integers(0, 3))
    def change_limit(self, most: int) -> None:
        Limit.objects.filter(pk=self.limit.pk).update(max_running=most)
        self.limit.max_running = most
        GateOpening.objects.create(gate_id=self.gate.pk)

    # What workers do

    @rule(worker=st.sampled_from(WORKERS), limit=st.integers(1, 4), forget=st.integers(0, 4))
    def claim(self, worker: str, limit: int, forget: int) -> None:
        """Exactly the best-ranked jobs that may run, whether the worker remembers where they begin or not."""
        if forget == 0:
            self.heads[worker] = Heads()
        got = claims.claim(
            worker_id=worker, types=JOB_TYPES, limit=limit, lease_s=30, heads=self.heads[worker]
        )
        waiting = [
            (job.rank, job_id)
            for job_id, job in self.jobs.items()
            if job.status == states.QUEUED and job.queue not in self.paused
        ]
        room = {self.limited: max((self.limit.max_running or 0) - self._running_in(self.limited), 0)}
        allowed = []
        for _, job_id in sorted(waiting):
            queue = self.jobs[job_id].queue
            if room.get(queue, limit) > 0:
                allowed.append(job_id)
                room[queue] = room.get(queue, limit) - 1
        assert [job.id for job in got] == allowed[:limit]
        for one in got:
            job = self.jobs[one.id]
            job.status, job.worker, job.attempt = states.RUNNING, worker, job.attempt + 1
            assert (one.attempt, one.retry_count) == (job.attempt, job.retries)
            self.claimed.append((worker, one))

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), ending=st.sampled_from(ENDINGS), retry=st.booleans())
    def finish(self, data: st.DataObject, ending: Ending, retry: bool) -> None:
        """Of any claim ever made: most of them are late, and must change nothing."""
        worker, one = data.draw(st.sampled_from(self.claimed[-8:]))
        delay_s = 60.0 if retry or ending == "snoozed" else None
        moved = leases.finish(
            worker_id=worker,
            ended=[Finish(one.id, one.attempt, ending, 5.0, result=1, retry_delay_s=delay_s)],
        )
        job = self.jobs[one.id]
        if not self._holds(worker, one):
            assert moved == []
            return
        job.status = self._after(job, ending, delay_s)
        job.retries += job.status == states.SCHEDULED and ending != "snoozed"
        if job.status not in (states.QUEUED,) and not (
            ending == "snoozed" and job.status == states.SCHEDULED
        ):
            job.ended.append("cancelled" if ending in ("released", "snoozed") else ending)
        assert [(row.job_id, row.status) for row in moved] == [(one.id, job.status)]

    @rule(worker=st.sampled_from(WORKERS))
    def renew(self, worker: str) -> None:
        held = [(one.id, one.attempt) for owner, one in self.claimed if owner == worker]
        mine = leases.renew(worker_id=worker, held=held, lease_s=30).mine
        assert mine == {
            (one.id, one.attempt): self.jobs[one.id].cancel_requested
            for owner, one in self.claimed
            if owner == worker and self._holds(worker, one)
        }

    @rule(worker=st.sampled_from(WORKERS))
    def forget_all_jobs(self, worker: str) -> None:
        """The answers of the worker's claims never reached it."""
        leases.hand_back_unknown(worker_id=worker, held=[])
        for job in self._running_on(worker):
            job.status = self._after(job, "released", None)
            if job.status == states.CANCELLED:
                job.ended.append("cancelled")

    # What the leader does

    @rule()
    def all_leases_run_out(self) -> None:
        reclaims.reclaim_expired(actor="leader", now=timezone.now() + timedelta(hours=1))
        for worker in WORKERS:
            self._lose_jobs_of(worker)

    @rule(worker=st.sampled_from(WORKERS))
    def worker_dies(self, worker: str) -> None:
        reclaims.reclaim_from(actor="leader", workers=[worker])
        self._lose_jobs_of(worker)

    @rule()
    def everything_is_due(self) -> None:
        reclaims.promote_due(actor="leader", now=timezone.now() + timedelta(days=1))
        for job in self.jobs.values():
            if job.status == states.SCHEDULED:
                job.status = states.QUEUED

    # What must hold

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        rows = Job.objects.in_bulk(list(self.jobs))
        assert {
            job_id: (row.status, row.attempt, row.retry_count, row.cancel_requested)
            for job_id, row in rows.items()
        } == {
            job_id: (job.status, job.attempt, job.retries, job.cancel_requested)
            for job_id, job in self.jobs.items()
        }

    @invariant()
    def the_gate_counts_what_runs(self) -> None:
        assert Gate.objects.get(pk=self.gate.pk).running == self._running_in(self.limited)

    @invariant()
    def each_ending_is_recorded_once(self) -> None:
        logs: dict[int, list[ExecutionLog]] = {job_id: [] for job_id in self.jobs}
        for log in ExecutionLog.objects.order_by("attempt"):
            logs[log.job_id].append(log)
        for job_id, job in self.jobs.items():
            assert [log.outcome for log in logs[job_id]] == job.ended
            assert sum(log.final for log in logs[job_id]) == (
                job.status in states.FINAL and bool(job.ended) and logs[job_id][-1].final
            )

    @invariant()
    def every_step_was_a_legal_edge(self) -> None:
        at: dict[int, str] = {}
        for event in JobEvent.objects.order_by("id"):
            before = at.get(event.job_id, "")
            if before and event.new_status != before:
                assert event.old_status == before
                assert (before, event.new_status) in states.EDGES
            at[event.job_id] = event.new_status

    def _running_in(self, queue: str) -> int:
        return sum(job.status == states.RUNNING and job.queue == queue for job in self.jobs.values())

    def _holds(self, worker: str, one: Claimed) -> bool:
        job = self.jobs[one.id]
        return (job.status, job.worker, job.attempt) == (states.RUNNING, worker, one.attempt)

    def _running_on(self, worker: str) -> list[Expected]:
        return [job for job in self.jobs.values() if (job.status, job.worker) == (states.RUNNING, worker)]

    def _lose_jobs_of(self, worker: str) -> None:
        for job in self._running_on(worker):
            job.ended.append("lost")
            if job.cancel_requested or job.retries == job.max_retries:
                job.status = job.lose_or_fail()
            else:
                job.status, job.retries = states.QUEUED, job.retries + 1

    def _after(self, job: Expected, ending: Ending, delay_s: float | None) -> str:
        if ending == "done":
            return states.DONE
        if ending == "cancelled" or job.cancel_requested:
            return states.CANCELLED
        if ending == "released":
            return states.QUEUED
        if ending == "snoozed" or (delay_s is not None and job.retries < job.max_retries):
            return states.SCHEDULED
        return states.FAILED


def _parameters() -> dict[str, Any]:
    values = connection.get_connection_params()
    return {name: values[name] for name in ("dbname", "user", "password", "host", "port") if values.get(name)}


HISTORIES = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.django_db(transaction=True)
def test_random_histories() -> None:
    run_state_machine_as_test(QueueMachine, settings=HISTORIES)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.django_db(transaction=True)
def test_many_long_random_histories() -> None:
    run_state_machine_as_test(
        QueueMachine, settings=settings(HISTORIES, max_examples=150, stateful_step_count=60)
    )
