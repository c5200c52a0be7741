"""What organisations used of the platform in the last days, for the usage page of the admin. Reads only.

Of the newest MOST_READ attempts that the user may see: a busy organisation ends far more in two weeks, and a page
must not read them all. Days are in UTC, today included.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from analytics import measures
from jobs.models import ExecutionLog
from orgs.models import Organization, User

DAYS = 14
MOST_READ = 200_000
MOST_NAMES = 10


@dataclass(frozen=True)
class Day:
    """Attempts that ended on one day, `failed` for good, and the seconds that workers spent on them."""

    day: date
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    retried: int = 0
    worker_s: float = 0.0


@dataclass(frozen=True)
class Busy:
    """A job name or an organisation: its attempts, those that failed for good, the seconds of workers."""

    name: str
    attempts: int
    failed: int
    worker_s: float


@dataclass(frozen=True)
class Usage:
    """`days` oldest first; `names` and `orgs` (only for who sees all) those with most worker time first.

    `since`: where reading stopped before the first day, else None.
    """

    days: list[Day]
    names: list[Busy]
    orgs: list[Busy]
    since: datetime | None


def usage(user: User, *, now: datetime | None = None) -> Usage:
    days = _days(now or timezone.now())
    logs, since = _newest(user, datetime.combine(days[0], datetime.min.time(), UTC))
    by_day = logs.annotate(day=TruncDate("logged_at", tzinfo=UTC)).values("day")
    found: dict[date, Any] = {
        row["day"]: row for row in by_day.annotate(**measures.outcomes(), worker_ms=Sum("runtime_ms"))
    }
    names = _busiest(logs, "job_name")
    orgs = _with_names(_busiest(logs, "org_id")) if user.sees_all else []
    return Usage(
        [_day(day, found.get(day)) for day in days],
        [_busy(row["job_name"], row) for row in names],
        orgs,
        since,
    )


def _days(now: datetime) -> list[date]:
    today = now.astimezone(UTC).date()
    return [today - timedelta(days=back) for back in reversed(range(DAYS))]


def _newest(user: User, since: datetime) -> tuple[QuerySet[ExecutionLog], datetime | None]:
    """The attempts since then, at most MOST_READ, and where they begin if that is later."""
    visible = ExecutionLog.objects.for_user(user)
    beyond = visible.order_by("-id").values_list("id", "logged_at")[MOST_READ : MOST_READ + 1]
    last_id, last_at = next(iter(beyond), (0, since))
    return visible.filter(logged_at__gte=since, id__gt=last_id), last_at if last_at > since else None


def _busiest(logs: QuerySet[ExecutionLog], column: str) -> list[dict[str, Any]]:
    sums = {
        "attempts": Count("id"),
        "failed_ones": Count("id", filter=measures.FAILED),
        "worker_ms": Sum("runtime_ms"),
    }
    return list(logs.order_by().values(column).annotate(**sums).order_by("-worker_ms", column)[:MOST_NAMES])


def _with_names(rows: Iterable[dict[str, Any]]) -> list[Busy]:
    found = list(rows)
    names = dict(
        Organization.objects.filter(pk__in=[row["org_id"] for row in found]).values_list("pk", "name")
    )
    return [_busy(names.get(row["org_id"], f"organisation {row['org_id']}"), row) for row in found]


def _busy(name: str, row: dict[str, Any]) -> Busy:
    return Busy(name, row["attempts"], row["failed_ones"], (row["worker_ms"] or 0.0) / 1000)


def _day(day: date, row: dict[str, Any] | None) -> Day:
    if row is None:
        return Day(day)
    counts = {name: row[name] for name in ("done", "failed", "cancelled", "retried")}
    return Day(day, worker_s=(row["worker_ms"] or 0.0) / 1000, **counts)
