"""Submitting jobs again that have ended: one by hand, or many at a rate. Called by API, pages and the leader.

A replay is a new job with the submission of its origin and `replay_of`. A bulk replay is a row that the
leader works off (`advance`) in the order of job ids up to the last one that was there when it was asked
for, so it never meets what it has made. It goes through lane low and at its rate, so that live work comes
first, and leaves out jobs that were replayed already: their latest replay stands for the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from jobs import notify, ordering, services, states
from jobs.models import Job, JobEvent, Replay
from jobs.queue_room import QueueFull
from jobs.services import Submitted
from orgs import audit, roles
from orgs.exceptions import Conflict, InvalidInput, NotFound
from orgs.models import Organization, User
from orgs.scoping import owned_by_org_of, require

REPLAYABLE = (states.FAILED, states.CANCELLED)
STATUSES = (Replay.ACTIVE, Replay.DONE, Replay.CANCELLED)
SLOWEST, FASTEST, DEFAULT_RATE = 0.1, 1000.0, 10.0
BULK_LANE = ordering.LOW
_TIMES = ("finished_after", "finished_before")

# What a replay takes over. Not the idempotency key, which names one job, and no time to wait for.
CARRIED = (
    "name", "type", "payload", "queue", "tags", "concurrency_key", "max_retries", "timeout_s",
    "soft_timeout_s", "memory_mb", "cpu_s",
)  # fmt: skip


class NotEnded(Conflict):
    """Only a job that has ended can be replayed."""

    code = "not_ended"


class ReplayedAlready(Conflict):
    """A replay of this job has not ended yet."""

    code = "replayed_already"


class ReplayEnded(Conflict):
    """This bulk replay has ended already."""

    code = "replay_ended"


@dataclass(frozen=True)
class ReplayFilter:
    """Which ended jobs to replay; None leaves a part open. `name` and `error_contains` are parts, in any case."""

    status: str = states.FAILED
    type: str | None = None
    queue: str | None = None
    name: str | None = None
    tag: str | None = None
    error_contains: str | None = None
    finished_after: datetime | None = None
    finished_before: datetime | None = None

    def stored(self) -> dict[str, str]:
        """The parts that are given, as JSON."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: value.isoformat() if name in _TIMES else value for name, value in given.items()}

    @classmethod
    def loaded(cls, stored: dict[str, str]) -> ReplayFilter:
        values: dict[str, Any] = {field.name: stored.get(field.name) for field in fields(cls)}
        values |= {name: parse_datetime(stored[name]) for name in _TIMES if name in stored}
        return cls(**{**values, "status": values["status"] or states.FAILED})

    def matching(self, jobs: QuerySet[Job]) -> QuerySet[Job]:
        conditions = {
            "status": self.status,
            "type": self.type,
            "queue": self.queue,
            "name__icontains": self.name,
            "tags__contains": None if self.tag is None else [self.tag],
            "error_msg__icontains": self.error_contains,
            "finished_at__gte": self.finished_after,
            "finished_at__lt": self.finished_before,
        }
        return jobs.filter(**{name: value for name, value in conditions.items() if value is not None})


def replay(*, job: Job, user: User) -> Job:
    """Submit an ended job again, in its own lane. Raises Forbidden, NotEnded, ReplayedAlready and InvalidInput."""
    require(user, roles.JOBS_SUBMIT)
    with transaction.atomic():
        origin = Job.objects.select_for_update(no_key=True).get(pk=job.pk)
        if not origin.is_final:
            raise NotEnded(f"The job is {origin.status}: only a job that has ended can be replayed.")
        again = unfinished_replays(origin).first()
        if again is not None:
            raise ReplayedAlready(f"Job {again.pk} replays this one already and has not ended yet.")
        (answer,) = submit_again([origin], org=origin.org, user=user)
        if answer.error is not None:
            raise answer.error
        details = {"job_id": answer.job_id, "replay_of": origin.pk}
        target = f"job {origin.pk}: {origin.name}"
        audit.record(org=origin.org, user=user, action="job.replay", target=target, details=details)
    assert answer.job_id is not None
    return Job.objects.get(pk=answer.job_id)


def may_replay(user: User, job: Job) -> bool:
    """Whether `replay` would do it; pages ask before they offer it."""
    return job.is_final and user.may(roles.JOBS_SUBMIT) and not unfinished_replays(job).exists()


def unfinished_replays(job: Job) -> QuerySet[Job]:
    return job.replays.filter(status__in=states.ACTIVE)


def start(
    *, org: Organization | None, user: User, wanted: ReplayFilter, rate_per_s: float = DEFAULT_RATE
) -> Replay:
    """Ask for the replay of all jobs of `org` that match now; the leader works it off.

    None is the user's own organisation. Raises Forbidden, NotFound for another one unless the user is a
    platform admin, and InvalidInput.
    """
    require(user, roles.JOBS_REPLAY_MANY)
    org = _replayable(user, org)
    _check(wanted, rate_per_s)
    with transaction.atomic():
        last = _ended(org.pk, wanted.status).order_by("-pk").values_list("pk", flat=True).first()
        made = Replay.objects.create(
            org=org,
            user=user,
            filter=wanted.stored(),
            rate_per_s=rate_per_s,
            up_to_job_id=last or 0,
            status=Replay.ACTIVE if last else Replay.DONE,
            finished_at=None if last else timezone.now(),
        )
        details = {"filter": made.filter, "rate_per_s": rate_per_s}
        audit.record(org=org, user=user, action="replay.start", target=f"replay {made.pk}", details=details)
    made.refresh_from_db()
    notify.changed([org.pk])
    return made


def cancel(*, replay: Replay, user: User) -> Replay:
    """Replay no more; the jobs that it has submitted stay. Raises Forbidden and ReplayEnded."""
    require(user, roles.JOBS_REPLAY_MANY)
    with transaction.atomic():
        # Waits for a run of the leader that is at it, so that nothing is submitted after the answer.
        locked = Replay.objects.select_for_update().get(pk=replay.pk)
        if locked.status != Replay.ACTIVE:
            raise ReplayEnded(f"The replay is {locked.status} already.")
        end(locked, Replay.CANCELLED)
        details = {"from": Replay.ACTIVE, "to": locked.status, "replayed": locked.replayed}
        target = f"replay {locked.pk}"
        audit.record(org=locked.org, user=user, action="replay.cancel", target=target, details=details)
    notify.changed([locked.org_id])
    return locked


def end(locked: Replay, status: str) -> None:
    """`locked` is held by the caller's transaction."""
    locked.status, locked.finished_at = status, timezone.now()
    locked.save(update_fields=["status", "finished_at"])


def to_replay(replay: Replay) -> QuerySet[Job]:
    """What a bulk replay still has before it, unordered."""
    found = not_replayed(ahead(replay)).filter(finished_at__lte=replay.created_at)
    return ReplayFilter.loaded(replay.filter).matching(found)


def window(replay: Replay, most: int) -> list[int]:
    """The ids of the next `most` jobs of the replay's status, whether they match or not."""
    return list(ahead(replay).order_by("pk").values_list("pk", flat=True)[:most])


def ahead(replay: Replay) -> QuerySet[Job]:
    """The jobs of the replay's status that it has still to look at, whether they match or not, unordered."""
    ended = _ended(replay.org_id, replay.filter.get("status", states.FAILED))
    return ended.filter(pk__gt=replay.last_job_id, pk__lte=replay.up_to_job_id)


def not_replayed(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Those without a replay; one that was cancelled does not count."""
    return jobs.filter(~Exists(Job.objects.filter(replay_of=OuterRef("pk")).exclude(status=states.CANCELLED)))


def submit_again(
    origins: Sequence[Job], *, org: Organization, user: User | None, lane: str | None = None
) -> list[Submitted]:
    """New jobs for `origins`, whose rows the caller's transaction holds; in `lane`, or each in its own.

    What became of it stands among the events of each origin, unless the queue was full: it may be tried again.
    """
    answers = services.submit_many(
        org=org,
        user=user,
        submissions=[_submission(origin, lane) for origin in origins],
        replay_of=[origin.pk for origin in origins],
    )
    actor = f"user:{user.pk}" if user else "system"
    JobEvent.objects.bulk_create(
        JobEvent(
            org=org,
            job=origin,
            old_status=origin.status,
            new_status=origin.status,
            reason=_reason(answer),
            actor=actor,
        )
        for origin, answer in zip(origins, answers, strict=True)
        if not isinstance(answer.error, QueueFull)
    )
    return answers


def _submission(origin: Job, lane: str | None) -> dict[str, Any]:
    values = {name: getattr(origin, name) for name in CARRIED}
    values |= {"retry": origin.retry_policy, "lane": lane or origin.lane}
    return {name: value for name, value in values.items() if value is not None}


def _reason(answer: Submitted) -> str:
    if answer.error is None:
        return f"replayed as job {answer.job_id}"
    return f"not replayed: {answer.error.message}"[:200]


def _ended(org_id: int, status: str) -> QuerySet[Job]:
    return Job.objects.filter(org_id=org_id, status=status)


def _replayable(user: User, org: Organization | None) -> Organization:
    org = org or user.org
    if org is None:
        raise InvalidInput(fields={"org_id": ["Say whose jobs to replay: you belong to no organisation."]})
    if not owned_by_org_of(user, org):
        raise NotFound
    return org


def _check(wanted: ReplayFilter, rate_per_s: float) -> None:
    wrong: dict[str, list[str]] = {}
    if wanted.status not in REPLAYABLE:
        wrong["filter.status"] = [f"Expected one of {', '.join(REPLAYABLE)}."]
    if not SLOWEST <= rate_per_s <= FASTEST:
        wrong["rate_per_s"] = [f"Expected a number from {SLOWEST:g} to {FASTEST:g}."]
    after, before = wanted.finished_after, wanted.finished_before
    if after is not None and before is not None and after >= before:
        wrong["filter.finished_before"] = ["Must be later than finished_after."]
    if wrong:
        raise InvalidInput(fields=wrong)
