"""What the workers page shows, in the shape of its fragments. Reads through `jobs.selectors` only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, Sum
from django.utils import timezone

from jobs import control, selectors
from jobs.models import SchedulerLeader, Worker
from jobs.payloads import JOB_TYPES
from orgs import roles
from orgs.models import User

ENDED_SHOWN_FOR = timedelta(hours=1)
_LIVING = (Worker.ACTIVE, Worker.STOPPING)


@dataclass(frozen=True)
class PoolWorker:
    """A worker process; `state` is its status, or "lost" when it fell silent. `takes`: what it serves, in words."""

    worker: Worker
    state: str
    takes: str
    may_control: bool


@dataclass(frozen=True)
class Pool:
    """The worker processes that live, and those that ended within the last hour."""

    workers: list[PoolWorker]
    active: int
    busy: int
    slots: int
    processed: int
    controls: bool


@dataclass(frozen=True)
class Leader:
    """The last elected scheduler; `silent`: it has not been heard of for a while."""

    leader: SchedulerLeader
    silent: bool


def pool(user: User, *, now: datetime | None = None) -> Pool:
    since = (now or timezone.now()) - ENDED_SHOWN_FOR
    controls = user.may(roles.WORKERS_CONTROL)
    all_known = selectors.workers()
    recent = all_known.filter(Q(state__in=_LIVING) | Q(last_seen__gt=since))
    found = [_pool_worker(worker, controls) for worker in recent]
    active = [one.worker for one in found if one.state == Worker.ACTIVE]
    return Pool(
        workers=found,
        active=len(active),
        busy=sum(worker.running for worker in active),
        slots=sum(worker.concurrency for worker in active),
        processed=all_known.aggregate(processed=Sum("jobs_processed"))["processed"] or 0,
        controls=controls,
    )


def leader(*, now: datetime | None = None) -> Leader | None:
    """None before the first election."""
    row = selectors.leader()
    if row is None:
        return None
    silent_for = (now or timezone.now()) - row.last_seen
    return Leader(row, silent=silent_for >= timedelta(seconds=selectors.LEADER_SILENT_S))


def _pool_worker(worker: Worker, controls: bool) -> PoolWorker:
    state = str(getattr(worker, "state", worker.status))
    told = controls and state == Worker.ACTIVE and control.may_be_told(worker)
    return PoolWorker(worker, state, takes=_takes(worker), may_control=told)


def _takes(worker: Worker) -> str:
    queues = "all queues" if worker.queues is None else f"queues {', '.join(worker.queues)}"
    everything = not worker.types or set(worker.types) >= set(JOB_TYPES)
    return f"{queues}; {'all types' if everything else 'types ' + ', '.join(worker.types)}"
