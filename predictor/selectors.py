"""What the predictor reads of the execution history: the last runs for a prediction, many for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from jobs.models import ExecutionLog
from jobs.prediction import PredictionRequest
from predictor.history import KEY_RUNS, ORG_RUNS, Book, Run

# One statement, and one bounded index scan per key (executionlog_of_key) and per organisation
# (executionlog_of_org), whatever the length of the history. UNION drops the rows that are found both ways.
# The active version rides along, so that no clock decides when a process takes up a new model.
# "From a to a" instead of "equal to a": with equality the planner may walk the primary key backwards for
# the order by id, through the whole table where an organisation has few rows. The organisation stands in
# the statement as a constant because how many rows it has cannot be told from an average.
_OF_KEYS = """
    SELECT run.* FROM (
        SELECT DISTINCT * FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS a(org_id, job_type, job_name)
    ) AS asked CROSS JOIN LATERAL (
        SELECT id, org_id, job_type, job_name, lane, outcome, runtime_ms, logged_at
        FROM jobs_executionlog AS l
        WHERE (l.org_id, l.job_type, l.job_name) >= (asked.org_id, asked.job_type, asked.job_name)
            AND (l.org_id, l.job_type, l.job_name) <= (asked.org_id, asked.job_type, asked.job_name)
        ORDER BY l.org_id, l.job_type, l.job_name, l.id DESC LIMIT %s
    ) AS run"""
_OF_ORG = """
    (SELECT id, org_id, job_type, job_name, lane, outcome, runtime_ms, logged_at
        FROM jobs_executionlog AS l
        WHERE l.org_id >= %s AND l.org_id <= %s
        ORDER BY l.org_id, l.id DESC LIMIT %s)"""
_HEAD = """
SELECT model.id, extract(epoch FROM statement_timestamp())::float8,
    known.org_id, job_type, job_name, lane, outcome, runtime_ms, extract(epoch FROM logged_at)::float8
FROM (SELECT max(id) AS id FROM predictor_modelversion WHERE active) AS model
LEFT JOIN ("""
_TAIL = """
) AS known ON true
ORDER BY known.id"""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known at a prediction: the active version, the time (Unix seconds) and the last runs."""

    version: int | None
    at: float
    book: Book


def known_for(requests: Sequence[PredictionRequest], *, after: str = "") -> Known:
    """Reads everything for these requests in one statement; `after` is one that is sent before it."""
    orgs = sorted({request.org_id for request in requests})
    statement = _HEAD + "\n    UNION".join([_OF_KEYS, *[_OF_ORG] * len(orgs)]) + _TAIL
    arguments: list[Any] = [
        [request.org_id for request in requests],
        [request.type for request in requests],
        [request.name for request in requests],
        KEY_RUNS,
    ]
    for org_id in orgs:
        arguments += [org_id, org_id, ORG_RUNS]
    with connection.cursor() as cursor:
        cursor.execute(f"{after};{statement}" if after else statement, arguments)
        if after:
            cursor.nextset()
        rows = cursor.fetchall()
    book = Book()
    for _, _, org_id, *run in rows:
        if org_id is not None:
            book.add(Run(org_id, *run))
    return Known(version=rows[0][0], at=rows[0][1], book=book)


def newest_runs(limit: int, since: datetime | None = None) -> list[Run]:
    """The newest `limit` executions logged at or after `since` (None: ever), oldest first."""
    logs = ExecutionLog.objects.order_by("-id")
    if since:
        logs = logs.filter(logged_at__gte=since)
    fields = ("org_id", "job_type", "job_name", "lane", "outcome", "runtime_ms", "logged_at", "wait_ms")
    rows = logs.values_list(*fields)[:limit].iterator(chunk_size=5000)
    runs = [
        Run(org_id, kind, name, lane, outcome, runtime_ms, logged_at.timestamp(), wait_ms)
        for org_id, kind, name, lane, outcome, runtime_ms, logged_at, wait_ms in rows
    ]
    return runs[::-1]
