"""What people and programs may do to a job. With `jobs.submitting` and `jobs.claims` the only writer of job state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs import allowed_types, drafts, notify, states, submission, submitting
from jobs.allowed_types import TypeNotAllowed
from jobs.drafts import Asked, Draft, Stored
from jobs.models import Job, JobEvent
from jobs.queue_room import QueueFull
from jobs.submission import Submission
from orgs import audit, roles
from orgs.exceptions import Conflict, Forbidden, InvalidInput, SmartQueueError
from orgs.models import Organization, User

MOST_NAMED = 100  # wrong fields of a batch
_MOST_TRIES = 10


class IdempotencyConflict(Conflict):
    """This idempotency key was used for a different job; use a new key for new work."""

    code = "idempotency_conflict"


class AlreadyFinal(Conflict):
    """The job has ended already and cannot be cancelled."""

    code = "already_final"


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of one of many: `job_id` is None and `error` says why where it was refused."""

    status: Literal["created", "existing", "refused"]
    job_id: int | None = None
    error: SmartQueueError | None = None


class BulkRefused(InvalidInput):
    """Nothing was stored: some of the jobs cannot be used as they are; see `fields`."""


def submit(
    *,
    org: Organization,
    user: User | None,
    now: datetime | None = None,
    replay_of: int | None = None,
    **values: Any,
) -> Job:
    """Put a job into the queue and return it; see `submission.Submission` for `values`.

    Inside `transaction.atomic` the job and its wake-up appear with the commit, or not at all.
    Raises InvalidInput (with `fields`), IdempotencyConflict, and QueueFull when the organisation may have no more
    jobs waiting. A repeated idempotency key returns the
    first job; `job.was_created` tells which it was. `replay_of` is the id of the job that this one repeats.
    """
    asked = Asked(org, user, _checked(values), replay_of)
    for _ in range(_MOST_TRIES):
        [answer] = submit_each([asked], now=now)
        if isinstance(answer, SmartQueueError):
            raise answer
        if answer is not None:
            return answer
    raise RuntimeError("The first job with this idempotency key was deleted again and again.")


def submit_each(
    asked: Sequence[Asked], *, now: datetime | None = None, wait: bool = True
) -> list[Job | IdempotencyConflict | QueueFull | TypeNotAllowed | None]:
    """Put jobs of any number of people into the queue, together; one answer for each, in order.

    One prediction, one statement; for requests that arrive at the same time. Keys may take several
    statements: only a transaction makes those all or nothing. The answer is None where the first job of a
    key was deleted meanwhile, and without `wait` where the jobs of a limited organisation are just being counted for
    somebody else: nothing is stored, ask again. Otherwise as `submit`.
    """
    refused = [allowed_types.refusal(one.org, one.wanted.type) for one in asked]
    allowed = [one for one, refusal in zip(asked, refused, strict=True) if refusal is None]
    made = iter(_made_or_not(allowed, now, wait) if allowed else ())
    return [next(made) if refusal is None else refusal for refusal in refused]


def _made_or_not(
    asked: Sequence[Asked], now: datetime | None, wait: bool
) -> list[Job | IdempotencyConflict | QueueFull | None]:
    wanted = drafts.drafts_of(asked)
    stored = _stored(wanted, now, wait=wait)
    known = Job.objects.in_bulk([row.job_id for row in stored if row.job_id and row.same and row.at is None])
    return [
        drafts.as_job(one.org, one.user, draft, row) if row.at is not None else _not_made(row, known)
        for one, draft, row in zip(asked, wanted, stored, strict=True)
    ]


def submit_many(
    *,
    org: Organization,
    user: User | None,
    submissions: Sequence[Submission | Mapping[str, Any]],
    replay_of: Sequence[int | None] | None = None,
    all_or_nothing: bool = False,
    now: datetime | None = None,
) -> list[Submitted]:
    """Put many jobs into the queue: one answer per submission, in order. One prediction, one statement.

    A `Submission` must come from `submission.parse`; a mapping is checked here, and refused alone when it
    cannot be used. `replay_of` has, per submission, the id of the job that it repeats. Where not all find room in the
    queue, the first ones do. With `all_or_nothing`, one that is refused raises BulkRefused, or QueueFull, and nothing
    is stored. Otherwise as `submit`.
    """
    checked = [_checked_or_refused(org, place, values) for place, values in enumerate(submissions)]
    refused = {place: one for place, one in enumerate(checked) if isinstance(one, Submitted)}
    if all_or_nothing and refused:
        raise _bulk_refused(refused)
    origins = replay_of or [None] * len(checked)
    asked = {
        place: Asked(org, user, one, origins[place])
        for place, one in enumerate(checked)
        if isinstance(one, Submission)
    }
    answers = refused | _stored_many(asked, all_or_nothing, now)
    return [answers[place] for place in range(len(checked))]


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
        before = job.status
        _cancel_locked(job, _actor(user))
        target, details = f"job {job.pk}: {job.name}", {"from": before, "to": job.status}
        audit.record(org=job.org, user=user, action="job.cancel", target=target, details=details)
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


def _checked(values: Mapping[str, Any], whole: str = "body") -> Submission:
    """`whole` is what the values as a whole are called."""
    try:
        return submission.parse(values, timeout_s=settings.JOB_TIMEOUT_S)
    except submission.SubmissionError as error:
        raise InvalidInput(fields={name or whole: texts for name, texts in error.fields.items()}) from None


def _checked_or_refused(
    org: Organization, place: int, values: Submission | Mapping[str, Any]
) -> Submission | Submitted:
    try:
        found = values if isinstance(values, Submission) else _checked(values, f"jobs.{place}")
    except InvalidInput as error:
        return Submitted("refused", error=error)
    refusal = allowed_types.refusal(org, found.type)
    return found if refusal is None else Submitted("refused", error=refusal)


def _stored_many(
    asked: Mapping[int, Asked], all_or_nothing: bool, now: datetime | None
) -> dict[int, Submitted]:
    wanted = drafts.drafts_of(list(asked.values()))
    may_conflict = any(draft.key is not None for draft in wanted)
    with transaction.atomic() if all_or_nothing and may_conflict else nullcontext():
        stored = _stored(wanted, now, whole=all_or_nothing)
        answers = dict(zip(asked, map(_answer, stored), strict=True))
        if all_or_nothing:
            _raise_first(answers)
    return answers


def _stored(
    wanted: Sequence[Draft], now: datetime | None, *, whole: bool = False, wait: bool = True
) -> list[Stored]:
    """Stores and wakes: the first of a burst with the same statement, the others when it is committed."""
    hints = notify.hints({draft.org_id for draft in wanted})
    stored = submitting.store(wanted, now, hints, whole=whole, wait=wait)
    made = {draft.org_id for draft, row in zip(wanted, stored, strict=True) if row.at is not None}
    if made:
        notify.changed_also(made, sent=hints)
    return stored


def _not_made(stored: Stored, known: Mapping[int, Job]) -> Job | IdempotencyConflict | QueueFull | None:
    """The answer to a submission for which no job was made."""
    if stored.job_id is None:
        return stored.refused
    if not stored.same:
        return _key_taken(stored)
    first = known.get(stored.job_id)
    if first is not None:
        first.was_created = False
    return first


def _answer(stored: Stored) -> Submitted:
    if stored.refused is not None:
        return Submitted("refused", error=stored.refused)
    if not stored.same:
        return Submitted("refused", error=_key_taken(stored))
    return Submitted("existing" if stored.at is None else "created", stored.job_id)


def _key_taken(stored: Stored) -> IdempotencyConflict:
    return IdempotencyConflict(
        fields={"idempotency_key": [f"Used before for job {stored.job_id} with a different body."]}
    )


def _raise_first(answers: Mapping[int, Submitted]) -> None:
    """Wrong jobs before a full queue: they stay wrong when it is emptier."""
    errors = [answer.error for answer in answers.values() if answer.error]
    if wrong := {place: one for place, one in answers.items() if one.error and one.error.fields}:
        raise _bulk_refused(wrong)
    if errors:
        raise errors[0]


def _bulk_refused(answers: Mapping[int, Submitted]) -> BulkRefused:
    wrong = [
        (name if name == f"jobs.{place}" else f"jobs.{place}.{name}", texts)
        for place, answer in answers.items()
        if answer.error
        for name, texts in answer.error.fields.items()
    ]
    fields = dict(wrong[:MOST_NAMED])
    if more := len(wrong) - len(fields):
        fields["jobs"] = [f"And {more:,} more."]
    return BulkRefused(fields=fields)


def _note(job: Job, *, old: str, reason: str, actor: str) -> None:
    JobEvent.objects.create(
        org_id=job.org_id, job=job, old_status=old, new_status=job.status, reason=reason, actor=actor
    )


def _actor(user: User | None) -> str:
    return f"user:{user.pk}" if user else "system"
