"""How good the served predictions were: attempts that ended by themselves, against what was predicted for them.

Reads execution logs for the API; one statement of bounded cost, which starts from the tenant filter. Days
are in UTC, today included. Ratios are between 0 and 1 or above (0.25 is 25 %); None: nothing to measure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
from django.core.exceptions import EmptyResultSet
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from jobs.models import ExecutionLog
from orgs.models import User
from orgs.selectors import organization_of
from predictor.exceptions import AccuracyTooSlow

# A busy organisation ends far more in a week.
SAMPLE = 20_000
TIME_LIMIT_MS = 2000

Measured = tuple[str | None, date | None, dict[str, Any]]  # of a type, of a day, or of neither: over all

_COLUMNS = (
    *("job_type", "logged_at", "outcome", "runtime_ms"),
    *("predicted_runtime_ms", "predicted_low_ms", "predicted_high_ms"),
)
# In the order of the fields of Accuracy. Below a millisecond a ratio says nothing, and zero has none.
_MEASURES = """
WITH newest AS MATERIALIZED ({newest}), compared AS (
    SELECT job_type, (logged_at AT TIME ZONE 'UTC')::date AS day,
        greatest(runtime_ms, 1) AS actual, greatest(predicted_runtime_ms, 1) AS predicted,
        (runtime_ms BETWEEN predicted_low_ms AND predicted_high_ms)::int AS within_interval
    FROM newest
    WHERE logged_at >= %s AND predicted_runtime_ms IS NOT NULL AND outcome IN ('done', 'failed')
), off AS (
    SELECT *, abs(predicted - actual) / actual AS ape, abs(ln(predicted / actual)) / ln(2::float8) AS log2_error
    FROM compared
)
SELECT job_type, day, count(*), avg(ape), percentile_cont(0.5) WITHIN GROUP (ORDER BY ape), avg(log2_error),
    count(within_interval), avg(within_interval)::float8
FROM off GROUP BY GROUPING SETS ((), (job_type), (day))
ORDER BY job_type, day
"""


@dataclass(frozen=True)
class Accuracy:
    """`mape` and `median_ape`: mean and median of |predicted - actual| / actual. `log2_error`: mean of
    |log2(predicted / actual)|. `coverage_80`: share of the `intervals` that held the runtime; 0.8 is meant."""

    attempts: int = 0
    mape: float | None = None
    median_ape: float | None = None
    log2_error: float | None = None
    intervals: int = 0
    coverage_80: float | None = None


@dataclass(frozen=True)
class TypeAccuracy(Accuracy):
    type: str = ""


@dataclass(frozen=True)
class DayAccuracy(Accuracy):
    day: date | None = None


@dataclass(frozen=True)
class AccuracyReport:
    """Over all, for each type that had predictions, and for each day, oldest first."""

    overall: Accuracy
    by_type: list[TypeAccuracy]
    by_day: list[DayAccuracy]


def accuracy(
    user: User, *, days: int, org_id: int | None = None, now: datetime | None = None
) -> AccuracyReport:
    """Of what `user` may see, among the newest `SAMPLE` attempts; `org_id` narrows it to one organisation.

    Raises NotFound for an organisation that the user may not see, AccuracyTooSlow after TIME_LIMIT_MS.
    """
    today = (now or timezone.now()).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = today - timedelta(days=days - 1)
    logs = ExecutionLog.objects.for_user(user)
    if org_id is not None:
        logs = logs.filter(org=organization_of(user=user, org_id=org_id))
    measured = _measured(logs, since)
    found = {day: DayAccuracy(day=day, **values) for _, day, values in measured if day}
    dates = [(since + timedelta(days=number)).date() for number in range(days)]
    overall = [Accuracy(**values) for kind, day, values in measured if not (kind or day)]
    return AccuracyReport(
        overall=overall[0] if overall else Accuracy(),
        by_type=[TypeAccuracy(type=kind, **values) for kind, _, values in measured if kind],
        by_day=[found.get(day, DayAccuracy(day=day)) for day in dates],
    )


def _measured(logs: QuerySet[ExecutionLog], since: datetime) -> list[Measured]:
    """By _MEASURES; nothing at all where nothing may be seen."""
    newest = logs.order_by("-id").values(*_COLUMNS)[:SAMPLE]
    try:
        statement, parameters = newest.query.sql_with_params()
    except EmptyResultSet:
        return []
    rows = _read(_MEASURES.format(newest=statement), (*parameters, since))
    names = [field.name for field in fields(Accuracy)]
    return [(kind, day, dict(zip(names, values, strict=True))) for kind, day, *values in rows]


def _read(statement: str, parameters: Iterable[Any]) -> list[tuple[Any, ...]]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(TIME_LIMIT_MS)])
            cursor.execute(statement, list(parameters))
            return cursor.fetchall()
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.QueryCanceled):
            raise AccuracyTooSlow from None
        raise
