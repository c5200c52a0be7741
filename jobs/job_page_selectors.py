"""What the page of one job shows, in the shape of its fragments. Reads through `jobs.selectors` only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models.functions import Left
from django.utils import timezone

from jobs import content, page_results, replays, selectors, services, states
from jobs.models import ExecutionLog, Job, JobEvent, LogLine
from jobs.page_selectors import attempts_total, runtime_ms, worker_names
from orgs import actors, wording
from orgs.exceptions import NotFound
from orgs.models import User

LAST_LINES = 500
LONGEST_LINE = 500
LAST_STEPS = 200
MOST_REPLAYS = 5
LONGEST_REASON = 160


@dataclass(frozen=True)
class Header:
    job: Job
    meaning: str
    may_cancel: bool
    may_replay: bool
    content_hidden: bool = False


@dataclass(frozen=True)
class Facts:
    """`wait_ms`: of the attempt that started last; None while the job waits, when its age says more.

    `retry`: the job's own retry policy in words; empty without one.
    """

    job: Job
    runtime_ms: float | None
    wait_ms: float | None
    limit_ms: float
    total: int
    retry: str
    submitted_by: str
    worker: str
    replays: list[Job]


@dataclass(frozen=True)
class Event:
    """A transition; `after_ms` since the one before it. `who` is empty for what nobody asked for."""

    event: JobEvent
    reason: str
    after_ms: float | None
    who: str


@dataclass(frozen=True)
class Timeline:
    """The last transitions of a job, first one first; `cut`: there are earlier ones."""

    steps: list[Event]
    cut: bool
    limit: int = LAST_STEPS


@dataclass(frozen=True)
class Attempt:
    """An ended attempt; `telling`: it failed the job, so its last lines are what people look for."""

    log: ExecutionLog
    worker: str
    tail: list[str]
    telling: bool


@dataclass(frozen=True)
class Line:
    stream: str
    text: str


@dataclass(frozen=True)
class AttemptOutput:
    number: int
    lines: list[Line]


@dataclass(frozen=True)
class Output:
    """The last lines of a job by attempt; `cut`: there are earlier ones."""

    job: Job
    attempts: list[AttemptOutput]
    cut: bool
    limit: int = LAST_LINES
    hidden: bool = False


@dataclass(frozen=True)
class JobResult:
    """`shown` is None as long as there is no result."""

    job: Job
    shown: page_results.Result | None
    hidden: bool = False


def job(user: User, job_id: int) -> Job:
    """One job without its payload, which no fragment shows, and without the content that `user` may not see.

    Not to be saved. Raises NotFound as `selectors.job` does.
    """
    found = selectors.jobs(user).select_related("user").defer("payload").filter(pk=job_id).first()
    if found is None:
        raise NotFound(f"There is no job {job_id}, or none that you may see.")
    if content.hidden_from(user):
        found.error_msg, found.result = "", None
    return found


def payload(user: User, job_id: int) -> Any:
    """A job's payload; None when the job is gone, and for whoever may not see it."""
    if content.hidden_from(user):
        return None
    return selectors.jobs(user).filter(pk=job_id).values_list("payload", flat=True).first()


def header(user: User, job: Job) -> Header:
    open_to_it = not job.is_final and not job.cancel_requested
    return Header(
        job=job,
        meaning=_meaning(job),
        may_cancel=open_to_it and services.may_cancel(job, user),
        may_replay=replays.may_replay(user, job),
        content_hidden=content.hidden_from(user),
    )


def facts(user: User, job: Job, *, now: datetime | None = None) -> Facts:
    started, queued = job.started_at, job.queued_at
    wait_ms = _ms(queued, started) if started and queued and queued <= started else None
    return Facts(
        job=job,
        runtime_ms=runtime_ms(job, now or timezone.now()),
        wait_ms=wait_ms,
        limit_ms=job.timeout_s * 1000,
        total=attempts_total(job),
        retry=", ".join(f"{name} {_shown(value)}" for name, value in (job.retry_policy or {}).items()),
        submitted_by=actors.name_for(user, job.user, job.user_id),
        worker=worker_names([job.worker_id]).get(job.worker_id or "", (job.worker_id or "")[:8]),
        replays=list(job.replays.only("status").order_by("-pk")[:MOST_REPLAYS]),
    )


def timeline(user: User, job: Job) -> Timeline:
    """The last LAST_STEPS transitions; one more is read, for the time between it and the first one shown."""
    found = list(selectors.events(job).order_by("-id")[: LAST_STEPS + 1])[::-1]
    names = _actor_names(user, (event.actor for event in found))
    hidden = content.hidden_from(user)
    times: list[datetime | None] = [None, *(event.at for event in found)]
    steps = [
        Event(
            event,
            wording.shortened(content.bare(event.reason) if hidden else event.reason, LONGEST_REASON),
            _ms(before, event.at),
            names.get(event.actor, ""),
        )
        for before, event in zip(times, found, strict=False)
    ]
    return Timeline(steps[-LAST_STEPS:], cut=len(found) > LAST_STEPS)


def attempts(user: User, job: Job) -> list[Attempt]:
    logs = list(selectors.executions(job))
    hidden = content.hidden_from(user)
    for log in logs if hidden else ():
        log.error_msg = ""
    names = worker_names(log.worker_id for log in logs)
    return [
        Attempt(
            log,
            worker=names.get(log.worker_id, log.worker_id[:8]),
            tail=[] if hidden else getattr(log, "output_tail", []),
            telling=log.final and job.status == states.FAILED,
        )
        for log in logs
    ]


def output(user: User, job: Job) -> Output:
    """The last LAST_LINES lines; reads the unique index logline_order backwards."""
    if content.hidden_from(user):
        return Output(job, [], cut=False, hidden=True)
    newest_first = LogLine.objects.filter(job=job).order_by("-attempt", "-seq")
    start = Left("text", LONGEST_LINE + 1)
    found = list(newest_first.values_list("attempt", "stream", start)[: LAST_LINES + 1])
    by_attempt: dict[int, list[Line]] = {}
    for attempt, stream, text in reversed(found[:LAST_LINES]):
        shown = text if len(text) <= LONGEST_LINE else text[:LONGEST_LINE] + " \N{HORIZONTAL ELLIPSIS}"
        by_attempt.setdefault(attempt, []).append(Line(stream, shown))
    parts = [AttemptOutput(number, lines) for number, lines in by_attempt.items()]
    return Output(job, parts, cut=len(found) > LAST_LINES)


def result(user: User, job: Job) -> JobResult:
    if content.hidden_from(user):
        return JobResult(job, None, hidden=True)
    return JobResult(job, page_results.shown(job.result))


def _meaning(job: Job) -> str:
    if job.cancel_requested and job.status == states.RUNNING:
        return "a stop was requested; the worker is ending it"
    if job.status == states.SCHEDULED:
        return "waiting for a retry" if job.retry_count else "not due yet"
    return states.MEANING[job.status]


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _ms(start: datetime | None, end: datetime) -> float | None:
    return None if start is None else max((end - start).total_seconds() * 1000, 0.0)


def _actor_names(reader: User, written: Iterable[str]) -> dict[str, str]:
    """Names for people by "user:ID", and for workers by "worker:ID"."""
    split = {actor: actor.partition(":")[::2] for actor in written}
    user_ids = [int(key) for kind, key in split.values() if kind == "user" and key.isdecimal()]
    users = {str(pk): name for pk, name in actors.names_for(reader, user_ids).items()}
    workers = worker_names(key for kind, key in split.values() if kind == "worker")
    return {
        actor: (users if kind == "user" else workers).get(key, "") for actor, (kind, key) in split.items()
    }
