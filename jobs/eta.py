"""When a job is expected to start and to finish, each with an interval that holds with 80 % probability, or why nobody
knows.

The leader estimates the head of the queue (`jobs.eta_store`); those estimates are read here while they are fresh. What
lies behind the head is estimated when somebody asks (`jobs.eta_behind`). Called by the API and the job page.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.utils import timezone

from jobs import eta_behind, eta_snapshot, eta_store, states
from jobs.calibration import bucket
from jobs.eta_models import Eta
from jobs.eta_snapshot import LEARNED, Workers
from jobs.models import Job, Pause
from jobs.simulation import Interval, Times
from jobs.spread import Z_80, Runtime, runtime

FRESH_S = 10.0  # how old an estimate of the leader may be
ENDS = (-Z_80, 0.0, Z_80)

PAUSED, NO_WORKER, NOT_DUE, BLOCKED = "paused", "no_worker", "not_due", "blocked"
LIMIT, TOO_FAR, NO_HISTORY = "limit", "too_far", "no_history"
WHY: dict[str, str] = {
    PAUSED: "it is paused",
    NO_WORKER: "no live worker takes jobs of its type and queue",
    NOT_DUE: "it is not due yet",
    BLOCKED: "it waits for other jobs",
    LIMIT: "a limit lets no such job run",
    TOO_FAR: f"{eta_behind.MOST_AHEAD:,} jobs of the organisation or more are ahead of it",
    NO_HISTORY: "no job like it has run yet",
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """`unknown` says why the start or the finish is None; it is None where both are known or the job has ended."""

    start_at: datetime | None = None
    start_low_at: datetime | None = None
    start_high_at: datetime | None = None
    finish_at: datetime | None = None
    finish_low_at: datetime | None = None
    finish_high_at: datetime | None = None
    unknown: str | None = None

    def without_finish(self) -> Estimate:
        return replace(self, finish_at=None, finish_low_at=None, finish_high_at=None, unknown=NO_HISTORY)


def estimate(job: Job, *, now: datetime | None = None) -> Estimate:
    """Of a job as it is now; of one that has ended, nothing. A start that lies behind is the one that was."""
    now = now or timezone.now()
    if job.status == states.RUNNING:
        return _of_running(job, now)
    if job.status == states.QUEUED:
        return _of_queued(job, now)
    return Estimate(unknown={states.SCHEDULED: NOT_DUE, states.BLOCKED: BLOCKED}.get(job.status))


def _of_running(job: Job, now: datetime) -> Estimate:
    begun = job.started_at or now
    if not _has_history(job):
        return Estimate(begun, begun, begun, unknown=NO_HISTORY)
    ran_s = max((now - begun).total_seconds(), 0.0)
    low, middle, high = (now + timedelta(seconds=_runtime(job).left(ran_s, z)) for z in ENDS)
    return Estimate(begun, begun, begun, middle, low, high)


def _of_queued(job: Job, now: datetime) -> Estimate:
    if eta_snapshot.is_paused(Pause.objects.all(), job.org_id, job.queue, job.type):
        return Estimate(unknown=PAUSED)
    pool = eta_snapshot.workers()
    groups = pool.taking(job.type, job.queue)
    if not sum(pool.slots[group] for group in groups):
        return Estimate(unknown=NO_WORKER)
    found = _stored(job, now) or _beside(job, now) or _behind(job, now, pool, groups)
    return found if _has_history(job) or found.start_at is None else found.without_finish()


def _stored(job: Job, now: datetime) -> Estimate | None:
    """As the leader estimated it a moment ago; what lies behind by now is now."""
    row = Eta.objects.filter(pk=job.pk, as_of__gt=now - timedelta(seconds=FRESH_S)).first()
    if row is None:
        return None
    start, finish = max(row.start_at, now), max(row.finish_at, now)
    return Estimate(
        start_at=start,
        start_low_at=row.start_low_at,
        start_high_at=max(row.start_high_at, start),
        finish_at=finish,
        finish_low_at=row.finish_low_at,
        finish_high_at=max(row.finish_high_at, finish),
    )


def _beside(job: Job, now: datetime) -> Estimate | None:
    """A job that came since the leader looked takes the place of the one in whose front it stands."""
    fresh = Eta.objects.filter(flow_id=job.flow_id, as_of__gt=now - timedelta(seconds=FRESH_S))
    row = fresh.filter(rank__gt=job.rank).order_by("rank").first()
    if row is None:
        return None
    ends = (row.start_low_at, row.start_at, row.start_high_at)
    start = Interval(*(max((end - now).total_seconds(), 0.0) for end in ends))
    return _from_now(Times(start, _finish(job, start)), now)


def _behind(job: Job, now: datetime, pool: Workers, groups: tuple[int, ...]) -> Estimate:
    limits = eta_behind.limits_of(job)
    if 0 in (limits.most, limits.most_of_key):
        return Estimate(unknown=LIMIT)
    ahead = eta_behind.ahead_of(job)
    if ahead.jobs >= eta_behind.MOST_AHEAD:
        return Estimate(unknown=TOO_FAR)
    slots = eta_behind.slots_for(pool, groups)
    is_next = not ahead.jobs and slots.free_in_s[0] <= 0
    if not (is_next or ahead.learned or slots.learned or _has_history(job)):
        return Estimate(unknown=NO_HISTORY)
    start = eta_behind.start_of(job, ahead, slots, limits, FRESH_S)
    shift = eta_store.shifts()[bucket(start.middle)]
    return _from_now(shift.applied_to_both(Times(start, _finish(job, start))), now)


def _finish(job: Job, start: Interval) -> Interval:
    return Interval(*(begin + _runtime(job).at(z) for begin, z in zip(start, ENDS, strict=True)))


def _from_now(times: Times, now: datetime) -> Estimate:
    start, finish = ([now + timedelta(seconds=end) for end in interval] for interval in times)
    return Estimate(start[1], start[0], start[2], finish[1], finish[0], finish[2])


def _runtime(job: Job) -> Runtime:
    return runtime(
        job.predicted_runtime_ms, job.predicted_low_ms, job.predicted_high_ms, limit_s=job.timeout_s
    )


def _has_history(job: Job) -> bool:
    return job.predicted_runtime_ms is not None and job.prediction_source in LEARNED
