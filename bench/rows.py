"""Jobs by the hundred thousand: copies of a row that the product wrote itself.

A template is one job, waiting or finished; `copy` multiplies it with its events and execution logs inside
the database, so the rows look as the product makes them whatever columns it has.
"""

from __future__ import annotations

import functools
import uuid
from datetime import timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from bench import product
from orgs.models import Organization, User

BATCH = 1000
RELATED = ("jobs_jobevent", "jobs_executionlog")
LEFT_TO_DEFAULTS = frozenset({"id", "queued_xid"})  # a copy is queued by the transaction that makes it
FOREVER = timedelta(days=3650)

# SQL by column; `g` numbers the copies from 1, so that ranks and times follow each other.
QUEUED = {
    "status": "'queued'",
    "rank": "extract(epoch FROM now()) + 1e-6 * g",
    "created_at": "now()",
    "run_at": "now()",
    "queued_at": "now()",
}
NOT_DUE = {"rank": "extract(epoch FROM now()) - 3600 + 1e-6 * g", "run_at": "now() + interval '1 hour'"}


def waiting(org: Organization, user: User) -> int:
    """A job that is never due: the template of queued jobs and of such that are not due either."""
    return int(product.noop(org, user, run_at=timezone.now() + FOREVER).pk)


def finished(org: Organization, user: User) -> int:
    """A job that was claimed and done, with its execution log and its events: the template of history."""
    from jobs import claims, leases

    job = product.noop(org, user)
    worker = str(uuid.uuid4())
    (claimed,) = claims.claim(worker_id=worker, types=["python"], limit=1, lease_s=60)
    ending = claims.Finish(claimed.id, claimed.attempt, "done", runtime_ms=1.5, result=1)
    leases.finish(worker_id=worker, ended=[ending])
    return int(job.pk)


def copy(template: int, count: int, changes: dict[str, str], *, batch: int = BATCH) -> None:
    """Add `count` copies of the job in transactions of `batch` rows."""
    values = {name: name for name in _columns("jobs_job", LEFT_TO_DEFAULTS)} | changes
    job_sql = (
        f"INSERT INTO jobs_job (id, {', '.join(values)}) OVERRIDING SYSTEM VALUE "
        f"SELECT %(base)s + g, {', '.join(values.values())} "
        "FROM jobs_job, generate_series(%(low)s, %(high)s) g WHERE id = %(template)s ORDER BY g"
    )
    statements = [job_sql, *(_related_sql(table) for table in RELATED)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(id) FROM jobs_job")
        base = cursor.fetchone()[0]
        for low in range(1, count + 1, batch):
            span = {"base": base, "low": low, "high": min(low + batch - 1, count), "template": template}
            with transaction.atomic():
                for statement in statements:
                    cursor.execute(statement, span)
        cursor.execute("SELECT setval(pg_get_serial_sequence('jobs_job', 'id'), %s)", [base + count])


def vacuum() -> None:
    """What autovacuum would do in time: both sides of a comparison begin with it."""
    with connection.cursor() as cursor:
        for table in ("jobs_job", *RELATED):
            cursor.execute(f"VACUUM ANALYZE {table}")


def stop_autovacuum() -> None:
    """Keep the planner's statistics as they are."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE jobs_job SET (autovacuum_enabled = false)")


def _related_sql(table: str) -> str:
    names = ", ".join(_columns(table, frozenset({"id", "job_id"})))
    return (
        f"INSERT INTO {table} (job_id, {names}) SELECT %(base)s + g, {names} FROM {table}, "
        "generate_series(%(low)s, %(high)s) g WHERE job_id = %(template)s ORDER BY g, id"
    )


@functools.cache
def _columns(table: str, without: frozenset[str]) -> list[str]:
    with connection.cursor() as cursor:
        described: list[Any] = connection.introspection.get_table_description(cursor, table)
    return [column.name for column in described if column.name not in without]
