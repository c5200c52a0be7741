"""What people may read of jobs, their attempts, events and output. Every query starts from `for_user`.

Workers and the leader are infrastructure of the platform and hold nothing of an organisation: they
are shown to every member. Called by API, pages and sockets; nothing is written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Case, CharField, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Left, Now

from jobs import states
from jobs.models import ExecutionLog, Job, JobEvent, LogLine, SchedulerLeader, Worker
from jobs.tagged import with_tag
from orgs.exceptions import NotFound
from orgs.models import User

MISSED_HEARTBEATS = 3
TAIL_LINES = 20
LONGEST_TAIL_LINE = 500
# The leader refreshes its row every second; a standby takes over from one that is silent for this long.
LEADER_SILENT_S = 10.0


@dataclass(frozen=True)
class JobFilter:
    """Which jobs a list shows; None leaves a part open. `name` is a part of the name, in any case."""

    status: str | None = None
    type: str | None = None
    lane: str | None = None
    queue: str | None = None
    tag: str | None = None
    name: str | None = None
    user: int | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True)
class Counted:
    """A number of jobs; `capped`: counting stopped there, and there may be more."""

    number: int
    capped: bool

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.number + other.number, self.capped or other.capped)


@dataclass(frozen=True, order=True)
class Place:
    """A place in a job's output: everything up to line `seq` of `attempt` has been read."""

    attempt: int = 0
    seq: int = 0


@dataclass(frozen=True)
class Output:
    """Lines of a job in order, the place after them, and whether nothing can follow."""

    lines: list[LogLine]
    place: Place
    complete: bool


def jobs(user: User, wanted: JobFilter | None = None) -> QuerySet[Job]:
    """The jobs that `user` may see, unordered."""
    wanted = wanted or JobFilter()
    conditions = {
        "status": wanted.status,
        "type": wanted.type,
        "lane": wanted.lane,
        "queue": wanted.queue,
        "name__icontains": wanted.name,
        "user_id": wanted.user,
        "created_at__gte": wanted.created_after,
        "created_at__lt": wanted.created_before,
    }
    found = Job.objects.for_user(user).filter(
        **{name: value for name, value in conditions.items() if value is not None}
    )
    return found if wanted.tag is None else with_tag(found, wanted.tag)


def job(user: User, job_id: int) -> Job:
    """One job; raises NotFound also when it belongs to others."""
    found = Job.objects.for_user(user).filter(pk=job_id).first()
    if found is None:
        raise NotFound(f"There is no job {job_id}, or none that you may see.")
    return found


def executions(of: Job) -> QuerySet[ExecutionLog]:
    """The ended attempts of a job, first one first; each has `output_tail`, its last lines in order."""
    logs = ExecutionLog.objects.filter(job=of).annotate(output_tail=ArraySubquery(_tail_of_attempt()))
    return logs.order_by("attempt")


def _tail_of_attempt() -> QuerySet[LogLine, str]:
    """For a query of executions: reads the unique index logline_order backwards, once per attempt shown."""
    of_attempt = {name: OuterRef(OuterRef(name)) for name in ("job_id", "attempt")}
    newest = LogLine.objects.filter(**of_attempt).order_by("-seq").values("pk")[:TAIL_LINES]
    return LogLine.objects.filter(pk__in=newest).order_by("seq").values_list(Left("text", LONGEST_TAIL_LINE))


def events(of: Job) -> QuerySet[JobEvent]:
    """The transitions of a job, first one first."""
    return JobEvent.objects.filter(job=of).order_by("id")


def output(of: Job, *, attempt: int | None = None, after: Place | None = None, limit: int = 500) -> Output:
    """Up to `limit` lines behind `after`, of one attempt or of all.

    `of` must have been read before this call: a job that was final then has all its lines stored, so
    `complete` cannot hide a late one.
    """
    start = after or Place()
    lines = LogLine.objects.filter(job=of, attempt__gte=start.attempt)
    lines = lines.filter(Q(attempt__gt=start.attempt) | Q(seq__gt=start.seq))
    if attempt is not None:
        lines = lines.filter(attempt=attempt)
    page = list(lines.order_by("attempt", "seq")[: limit + 1])
    shown = page[:limit]
    last = Place(shown[-1].attempt, shown[-1].seq) if shown else start
    return Output(shown, last, complete=of.is_final and len(page) <= limit)


def workers() -> QuerySet[Worker]:
    """Worker processes of the last days, active ones first.

    Each has `state`: its status, or "lost" when it fell silent.
    """
    silent = Q(status__in=(Worker.ACTIVE, Worker.STOPPING), last_seen__lt=Now() - silence())
    state = Case(When(silent, then=Value(Worker.LOST)), default=F("status"), output_field=CharField())
    return Worker.objects.annotate(state=state).order_by("state", "-started_at")


def active_workers() -> QuerySet[Worker]:
    """Those that take jobs."""
    return Worker.objects.filter(status=Worker.ACTIVE, last_seen__gte=Now() - silence())


def silence() -> timedelta:
    """How long a worker may be silent before it is shown as lost."""
    return timedelta(seconds=MISSED_HEARTBEATS * settings.HEARTBEAT_S)


def leader() -> SchedulerLeader | None:
    """The last elected scheduler; None before the first election."""
    return SchedulerLeader.objects.first()


def unfinished(user: User) -> QuerySet[Job]:
    """The jobs that are waiting or running; reads the partial index job_of_org_not_done."""
    return Job.objects.for_user(user).filter(status__in=states.ACTIVE)
