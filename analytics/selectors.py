"""The numbers that API, pages and sockets show. Reads only; every query over jobs starts from `for_user`.

Hours are whole hours in UTC, the current one included. Ratios are between 0 and 1 or above (0.25 is
25 %), runtimes are milliseconds; None means that there was nothing to measure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Count, F, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Now, TruncHour
from django.utils import timezone

from analytics import depth, measures
from analytics.shared import shared
from jobs import selectors as job_selectors
from jobs.models import ExecutionLog, SchedulerLeader
from orgs.models import User

HOURS = 24
POINTS = 200
# Percentiles and errors are of the newest attempts: a busy organisation ends far more in a day.
SAMPLE = 20_000


@dataclass(frozen=True)
class Hour:
    """Attempts that ended in one hour: `failed` for good, `retried` with another attempt to follow."""

    hour: datetime
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0


@dataclass(frozen=True)
class Accuracy:
    """How far predictions were off; see `measures.accuracy`."""

    attempts: int = 0
    mape: float | None = None
    median_ape: float | None = None
    log2_error: float | None = None
    within_2x: float | None = None


@dataclass(frozen=True)
class TypeAccuracy(Accuracy):
    type: str = ""


@dataclass(frozen=True)
class HourAccuracy(Accuracy):
    hour: datetime | None = None


@dataclass(frozen=True)
class Point:
    """One attempt that ended well: what was predicted and what it took."""

    job_id: int
    type: str
    name: str
    predicted_runtime_ms: float
    runtime_ms: float
    logged_at: datetime


@dataclass(frozen=True)
class Pool:
    """The workers that are there: `slots` is what they can run at once, `busy` what they run."""

    workers: int
    slots: int
    busy: int


@dataclass(frozen=True)
class Leader:
    """The scheduler elected last, not `alive` when it fell silent; all None before the first election."""

    worker_id: str | None = None
    term: int | None = None
    elected_at: datetime | None = None
    last_seen: datetime | None = None
    age_s: float | None = None
    alive: bool = False


@dataclass(frozen=True)
class LastDay:
    """Attempts that ended in the last 24 hours, of the newest `SAMPLE`: see `Hour`.

    `success_rate` is done / (done + failed); times are percentiles. `cancelled` counts attempts that were
    stopped: a job cancelled before it started has none.
    """

    done: int
    failed: int
    cancelled: int
    retried: int
    success_rate: float | None
    wait_ms_p50: float | None
    wait_ms_p95: float | None
    run_ms_p50: float | None
    run_ms_p95: float | None


@dataclass(frozen=True)
class Summary:
    jobs: dict[str, int]
    last_24h: LastDay
    prediction: Accuracy
    pool: Pool
    leader: Leader


@shared
def summary(user: User, now: datetime | None = None) -> Summary:
    """The first numbers of a dashboard; `jobs` counts the unfinished jobs by status."""
    return Summary(
        jobs=depth.queue_depth(user).by_status,
        last_24h=last_day(user, now),
        prediction=prediction_accuracy(user, now),
        pool=pool(),
        leader=scheduler_leader(),
    )


def last_day(user: User, now: datetime | None = None) -> LastDay:
    values = _newest(user, (now or timezone.now()) - timedelta(hours=HOURS)).aggregate(
        **measures.outcomes(),
        wait_ms_p50=measures.Percentile("wait_ms", 0.5),
        wait_ms_p95=measures.Percentile("wait_ms", 0.95),
        run_ms_p50=measures.Percentile("runtime_ms", 0.5),
        run_ms_p95=measures.Percentile("runtime_ms", 0.95),
    )
    ended = values["done"] + values["failed"]
    return LastDay(success_rate=values["done"] / ended if ended else None, **values)


@shared
def throughput(user: User, now: datetime | None = None) -> list[Hour]:
    """What ended in each of the last 24 hours, oldest first; hours without anything are there with zeros."""
    hours = _hours(now)
    rows = _logs(user, hours[0]).annotate(hour=TruncHour("logged_at", tzinfo=UTC)).values("hour")
    found = {row["hour"]: Hour(**row) for row in rows.annotate(**measures.outcomes())}
    return [found.get(hour, Hour(hour)) for hour in hours]


@shared
def prediction_accuracy(user: User, now: datetime | None = None) -> Accuracy:
    """Over the last 24 hours, of the newest `SAMPLE` attempts."""
    return Accuracy(**_predicted(user, now).aggregate(**measures.accuracy()))


@shared
def prediction_accuracy_by_type(user: User, now: datetime | None = None) -> list[TypeAccuracy]:
    """The same for each job type that had predicted attempts."""
    rows = _predicted(user, now).values(type=F("job_type")).annotate(**measures.accuracy()).order_by("type")
    return [TypeAccuracy(**row) for row in rows]


@shared
def prediction_accuracy_by_hour(user: User, now: datetime | None = None) -> list[HourAccuracy]:
    """The same for each of the last 24 hours, oldest first; hours without attempts have None."""
    rows = _predicted(user, now).annotate(hour=TruncHour("logged_at", tzinfo=UTC)).values("hour")
    found = {row["hour"]: HourAccuracy(**row) for row in rows.annotate(**measures.accuracy())}
    return [found.get(hour, HourAccuracy(hour=hour)) for hour in _hours(now)]


@shared
def prediction_points(user: User) -> list[Point]:
    """The latest `POINTS` predicted attempts that ended well, oldest first."""
    logs = ExecutionLog.objects.for_user(user).filter(measures.PREDICTED).order_by("-id")[:POINTS]
    return [
        Point(
            job_id=log.job_id,
            type=log.job_type,
            name=log.job_name,
            predicted_runtime_ms=log.predicted_runtime_ms or 0.0,
            runtime_ms=log.runtime_ms,
            logged_at=log.logged_at,
        )
        for log in reversed(logs)
    ]


def pool() -> Pool:
    """The whole platform's workers."""
    sums = job_selectors.active_workers().aggregate(
        workers=Count("pk"), slots=Sum("concurrency"), busy=Sum("running")
    )
    return Pool(**{name: value or 0 for name, value in sums.items()})


def scheduler_leader() -> Leader:
    row = SchedulerLeader.objects.annotate(age=Now() - F("last_seen")).first()
    if row is None:
        return Leader()
    age_s = row.age.total_seconds()
    alive = age_s < job_selectors.LEADER_SILENT_S
    return Leader(row.worker_id, row.term, row.elected_at, row.last_seen, age_s, alive)


def _hours(now: datetime | None) -> list[datetime]:
    """The starts of the last 24 hours, oldest first."""
    current = (now or timezone.now()).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return [current - timedelta(hours=back) for back in reversed(range(HOURS))]


def _logs(user: User, since: datetime) -> QuerySet[ExecutionLog]:
    return ExecutionLog.objects.for_user(user).filter(logged_at__gte=since)


def _newest(user: User, since: datetime) -> QuerySet[ExecutionLog]:
    """At most `SAMPLE` logs since then; where they begin is read from the index executionlog_of_org alone."""
    passed_over = ExecutionLog.objects.for_user(user).order_by("-id").values("id")[SAMPLE : SAMPLE + 1]
    return _logs(user, since).filter(id__gt=Coalesce(Subquery(passed_over), 0))


def _predicted(user: User, now: datetime | None) -> QuerySet[ExecutionLog]:
    return _newest(user, _hours(now)[0]).filter(measures.PREDICTED)
