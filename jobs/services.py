"""What people and programs may do to a job. With `jobs.claims` the only writer of job state."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from jobs import notify, ordering, prediction, states, submission
from jobs.models import Flow, Job, JobEvent
from orgs import roles
from orgs.exceptions import Conflict, Forbidden, InvalidInput
from orgs.models import Organization, User


class IdempotencyConflict(Conflict):
    """This idempotency key was used for a different job; use a new key for new work."""

    code = "idempotency_conflict"


class AlreadyFinal(Conflict):
    """The job has ended already and cannot be cancelled."""

    code = "already_final"


def submit(*, org: Organization, user: User | None, now: datetime | None = None, **values: Any) -> Job:
    """Put a job into the queue and return it; see `submission.Submission` for `values`.

    Inside `transaction.atomic` the job and its wake-up appear with the commit, or not at all.
    Raises InvalidInput (with `fields`) and IdempotencyConflict. A repeated idempotency key returns the
    first job; `job.was_created` tells which it was.
    """
    try:
        wanted = submission.parse(values)
    except submission.SubmissionError as error:
        raise InvalidInput(fields=error.fields) from None
    job = _new_job(org, user, wanted, now or timezone.now())
    try:
        with transaction.atomic():
            job.flow, _ = Flow.objects.get_or_create(org=org, queue=job.queue, type=job.type)
            job.save(force_insert=True)
            _note(job, old="", reason="submitted", actor=_actor(user))
    except IntegrityError as error:
        return _first_submission(job, error)
    notify.changed([org.pk], ready=True)
    job.was_created = True
    return job


def cancel(*, job: Job, user: User) -> Job:
    """Cancel a waiting job at once; ask the worker of a running one to stop it.

    Raises Forbidden when the role does not allow it and AlreadyFinal when there is nothing left to stop.
    """
    if not may_cancel(job, user):
        raise Forbidden("Your role allows you to cancel only jobs that you submitted yourself.")
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job.pk)
        if job.cancel_requested and not job.is_final:
            return job
        if job.is_final:
            raise AlreadyFinal(f"The job is {job.status} already and cannot be cancelled.")
        _cancel_locked(job, _actor(user))
    notify.changed([job.org_id])
    return job


def may_cancel(job: Job, user: User) -> bool:
    """Whether the user's role allows it; pages ask before they offer it."""
    own = job.user_id == user.pk and user.may(roles.JOBS_CANCEL_OWN)
    return own or user.may(roles.JOBS_CANCEL_ANY)


def _cancel_locked(job: Job, actor: str) -> None:
    old = job.status
    job.cancel_requested = True
    if old == states.RUNNING:
        job.save(update_fields=["cancel_requested"])
        _note(job, old=old, reason="stop requested", actor=actor)
        notify.cancel_requested(job.pk)
        return
    job.status, job.finished_at = states.CANCELLED, timezone.now()
    job.save(update_fields=["status", "finished_at", "cancel_requested"])
    _note(job, old=old, reason="cancelled", actor=actor)


def _new_job(org: Organization, user: User | None, wanted: submission.Submission, now: datetime) -> Job:
    advice = prediction.predict(
        [
            prediction.PredictionRequest(
                org_id=org.pk,
                type=wanted.type,
                name=wanted.name,
                lane=wanted.lane,
            )
        ]
    )[0]
    run_at = max(wanted.run_at or now, now)
    due = run_at <= now
    return Job(
        org=org,
        user=user,
        name=wanted.name,
        type=wanted.type,
        payload=wanted.payload,
        lane=wanted.lane,
        status=states.QUEUED if due else states.SCHEDULED,
        priority=advice.priority,
        rank=ordering.rank(
            due_at_s=run_at.timestamp(),
            predicted_ms=advice.runtime_ms,
            lane=wanted.lane,
            patience=settings.PATIENCE,
        ),
        predicted_runtime_ms=advice.runtime_ms,
        prediction_source=advice.source,
        model_version=advice.model_version,
        created_at=now,
        run_at=run_at,
        queued_at=now if due else None,
        max_retries=settings.JOB_MAX_RETRIES if wanted.max_retries is None else wanted.max_retries,
        timeout_s=wanted.timeout_s or settings.JOB_TIMEOUT_S,
        idempotency_key=wanted.idempotency_key,
        request_hash=wanted.fingerprint() if wanted.idempotency_key else "",
    )


def _first_submission(job: Job, error: IntegrityError) -> Job:
    """The job that holds the idempotency key; two submissions at once meet in the unique constraint."""
    if job.idempotency_key is None:
        raise error
    first = Job.objects.filter(org_id=job.org_id, idempotency_key=job.idempotency_key).first()
    if first is None:
        raise error
    if first.request_hash != job.request_hash:
        raise IdempotencyConflict(
            fields={"idempotency_key": [f"Used before for job {first.pk} with a different body."]}
        )
    first.was_created = False
    return first


def _note(job: Job, *, old: str, reason: str, actor: str) -> None:
    JobEvent.objects.create(
        org_id=job.org_id, job=job, old_status=old, new_status=job.status, reason=reason, actor=actor
    )


def _actor(user: User | None) -> str:
    return f"user:{user.pk}" if user else "system"
