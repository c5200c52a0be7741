"""Where a job stands and why, for its reader: the reason, its place, the terms of its rank, its prediction.

Reads only, and little of it: whatever the length of the queue, a bounded number of index entries. Called by API and
page with a job that its reader may see. Of other organisations nothing is said but how many have jobs queued.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from jobs import ahead, around, prediction, rank_terms, states
from jobs.models import Job
from jobs.page_selectors import attempts_total
from jobs.prediction import History, PredictionRequest
from jobs.rank_terms import Rank
from jobs.reasons import Reason, reasons
from jobs.standing import Around, Position, ShareOf, Standing
from orgs.models import User

CHANGED = 0.01  # of a prediction: less is the same
# As in predictor.service: on statistics from before a queue filled up the planner would rather read all of it.
_BEGIN = "SELECT statement_timestamp(), " + ", ".join(
    f"set_config('{name}', 'off', true)" for name in ("enable_seqscan", "enable_sort", "jit")
)


@dataclass(frozen=True)
class Predicted:
    """What was predicted of the job and is in its rank, and `history`: what would be said at this moment, and from
    which runs. None when the predictor has no answer, and for a job that has ended."""

    runtime_ms: float | None
    low_ms: float | None
    high_ms: float | None
    source: str
    model_version: int | None
    history: History | None

    @property
    def changed(self) -> bool:
        """Whether something else would be predicted by now."""
        now_ms = self.history.now.runtime_ms if self.history else None
        if now_ms is None:
            return False
        return self.runtime_ms is None or abs(now_ms - self.runtime_ms) > CHANGED * max(self.runtime_ms, 1.0)


@dataclass(frozen=True)
class Explanation:
    """`also`: what else would hold the job. `position` and `share` are None unless it is queued."""

    job_id: int
    status: str
    as_of: datetime
    reason: Reason
    also: list[Reason]
    position: Position | None
    share: ShareOf | None
    rank: Rank
    prediction: Predicted


def explain(user: User, job: Job) -> Explanation:
    """`job` is one that `user` may see, as it was read a moment ago."""
    standing = _waiting(user, job) if job.status in states.WAITING else _standing(user, job, _nothing())
    found = reasons(standing)
    return Explanation(
        job_id=job.pk,
        status=job.status,
        as_of=standing.around.now,
        reason=found[0],
        also=found[1:],
        position=standing.position,
        share=standing.share,
        rank=_rank(job),
        prediction=_predicted(job),
    )


def _waiting(user: User, job: Job) -> Standing:
    with _planned_for_indexes() as now:
        if job.status != states.QUEUED:
            return _standing(user, job, around.of(user, job, [ahead.place_of(job)], now))
        before = ahead.flows(job)
        found = around.of(user, job, {ahead.place_of(job), *before.flows.values()}, now)
        return _standing(user, job, found, before.position(job, found), ahead.share(job.org_id))


@contextmanager
def _planned_for_indexes() -> Iterator[datetime]:
    """The time of the database."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_BEGIN)
            now = cursor.fetchone()[0]
        yield now
        # Released, a savepoint would leave these to the rest of the caller's transaction.
        transaction.set_rollback(True)


def _nothing() -> Around:
    """What is around a job that nothing keeps from beginning any more."""
    return Around(now=timezone.now())


def _standing(
    user: User, job: Job, found: Around, position: Position | None = None, share: ShareOf | None = None
) -> Standing:
    return Standing(
        place=ahead.place_of(job),
        status=job.status,
        whose="your" if user.org_id == job.org_id else "its",
        around=found,
        attempt=job.attempt,
        attempts=attempts_total(job),
        run_at=job.run_at,
        retry=job.retry_count > 0,
        started_at=job.started_at,
        finished_at=job.finished_at,
        predicted_ms=job.predicted_runtime_ms,
        cancel_requested=job.cancel_requested,
        worker=job.worker_id or "",
        position=position,
        share=share,
    )


def _rank(job: Job) -> Rank:
    ordering = settings.ORDERING
    terms = ordering.terms(
        due_at_s=job.run_at.timestamp(),
        lane=job.lane,
        predicted_ms=job.predicted_runtime_ms,
        low_ms=job.predicted_low_ms,
        high_ms=job.predicted_high_ms,
    )
    # A retry moves run_at and leaves the rank as it is.
    earliest = job.created_at if job.attempt else job.run_at
    return rank_terms.explained(
        job.rank,
        terms,
        lane=job.lane,
        rule=ordering.lanes[job.lane],
        predicted_ms=job.predicted_runtime_ms,
        earliest_due_s=earliest.timestamp(),
    )


def _predicted(job: Job) -> Predicted:
    return Predicted(
        runtime_ms=job.predicted_runtime_ms,
        low_ms=job.predicted_low_ms,
        high_ms=job.predicted_high_ms,
        source=job.prediction_source,
        model_version=job.model_version,
        history=None if job.is_final else prediction.history(_request(job)),
    )


def _request(job: Job) -> PredictionRequest:
    """As it was asked at the submission; a limit that is the default was named by nobody."""
    payload = job.__dict__.get("payload")
    if payload is None:  # pages read jobs without it
        payload = Job.objects.filter(pk=job.pk).values_list("payload", flat=True).first() or {}
    return PredictionRequest(
        org_id=job.org_id,
        type=job.type,
        name=job.name,
        lane=job.lane,
        user_id=job.user_id,
        timeout_s=None if job.timeout_s == settings.JOB_TIMEOUT_S else job.timeout_s,
        payload=payload,
    )
