"""What Prometheus reads from the database at scrape time, for the whole platform.

Every web process answers the same numbers: take the maximum over pods, never the sum. Labels name
no organisation. Cost is bounded: unfinished jobs and the last hour by index, samples of the latest
attempts for percentiles, and a time limit on each statement. `register` is called by the first
scrape, so neither imports nor workers and schedulers (with a /metrics of their own) ever query here.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.db import Error, connection, transaction
from django.db.backends.utils import CursorWrapper
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from analytics.deadline import Deadline
from analytics.forecasts import platform_forecast
from analytics.snapshots import oldest_holder
from jobs import ordering, states
from jobs.models import Worker
from jobs.selectors import silence
from orgs import walls

logger = logging.getLogger(__name__)

TIME_LIMIT_MS = 2000
WAIT_S = 8.0
SAMPLE = 20_000
QUANTILES = (0.5, 0.95, 0.99)
AHEAD_MINUTES = (5, 15)

UNFINISHED = f"""
SELECT status, lane, count(*) FROM jobs_job
WHERE status IN ({", ".join(f"'{status}'" for status in states.ACTIVE)}) GROUP BY status, lane
"""  # noqa: S608 - names of our own
# By the transaction that queued it, which has an index: transactions and times have the same order.
OLDEST_QUEUED = """
SELECT greatest(0, extract(epoch FROM now() - queued_at))::float8 FROM jobs_job
WHERE status = 'queued' ORDER BY queued_xid LIMIT 1
"""
DEAD_ROWS = """
SELECT relname, n_dead_tup FROM pg_stat_user_tables
WHERE schemaname = current_schema() AND relname IN ('jobs_job', 'jobs_worker')
"""
WORKERS = """
SELECT CASE WHEN last_seen < now() - %(silence)s THEN 'lost' ELSE status END AS state, count(*)
FROM jobs_worker WHERE status <> 'stopped' AND last_seen > now() - interval '1 hour' GROUP BY state
"""
LEADER = "SELECT term, greatest(0, extract(epoch FROM now() - last_seen))::float8 FROM jobs_schedulerleader"
ATTEMPTS = """
SELECT job_type, outcome, count(*) FROM jobs_executionlog
WHERE logged_at > now() - interval '1 hour' GROUP BY job_type, outcome
"""
# One pass over the latest attempts, for waits of all and run times by type.
TIMES = """
WITH latest AS (
    SELECT job_type, wait_ms, runtime_ms FROM jobs_executionlog
    WHERE logged_at > now() - interval '1 hour' ORDER BY logged_at DESC LIMIT %(sample)s
)
SELECT NULL, percentile_cont(%(quantiles)s::float8[]) WITHIN GROUP (ORDER BY wait_ms) FROM latest
HAVING count(*) > 0
UNION ALL
SELECT job_type, percentile_cont(%(quantiles)s::float8[]) WITHIN GROUP (ORDER BY runtime_ms) FROM latest
GROUP BY job_type
"""
MAPE = """
WITH latest AS (
    SELECT job_type, greatest(runtime_ms, 1) AS actual, greatest(predicted_runtime_ms, 1) AS predicted
    FROM jobs_executionlog
    WHERE logged_at > now() - interval '1 day' AND outcome = 'done' AND predicted_runtime_ms IS NOT NULL
    ORDER BY logged_at DESC LIMIT %(sample)s
)
SELECT job_type, avg(abs(predicted - actual) / actual) FROM latest GROUP BY job_type
"""

GAUGES: tuple[tuple[str, str, list[str]], ...] = (
    ("smartqueue_database_up", "1 while the database answers.", []),
    ("smartqueue_jobs", "Unfinished jobs.", ["status", "lane"]),
    ("smartqueue_oldest_queued_seconds", "Time that the first of the queued jobs has waited.", []),
    ("smartqueue_dead_rows", "Rows that wait to be vacuumed, as PostgreSQL estimates.", ["table"]),
    (
        "smartqueue_oldest_snapshot_seconds",
        "Age of the transaction that keeps dead rows from being removed; 0 while there is none to report.",
        ["kind", "pid", "application_name"],
    ),
    ("smartqueue_workers", "Workers seen in the last hour.", ["status"]),
    ("smartqueue_leader_term", "Number of the term of the last elected leader.", []),
    ("smartqueue_leader_last_seen_seconds", "Time since the leader was seen.", []),
    ("smartqueue_attempts_1h", "Attempts that ended in the last hour.", ["type", "outcome"]),
    ("smartqueue_wait_seconds_1h", "Time from queued to started, last hour.", ["quantile"]),
    ("smartqueue_run_seconds_1h", "Run times, last hour.", ["type", "quantile"]),
    ("smartqueue_prediction_mape_24h", "Mean of |predicted - actual| / actual, last day.", ["type"]),
    (
        "smartqueue_forecast_arrivals_per_minute",
        "Jobs expected to arrive, so many minutes ahead.",
        ["minutes"],
    ),
    ("smartqueue_forecast_queued_seconds", "Worker-seconds expected in the queue by then.", ["minutes"]),
    (
        "smartqueue_workers_wanted",
        "Workers that would finish what is queued and comes within the target.",
        [],
    ),
)

Row = tuple[Any, ...]
Gauges = dict[str, GaugeMetricFamily]


class QueueCollector(Collector):
    """Reads the queue when it is scraped; without a database it answers `smartqueue_database_up 0`."""

    def __init__(self) -> None:
        self._reading = Deadline(_read_and_close, "scrape")

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Names for the registry's check for duplicates; without this it would call `collect` at once."""
        return _gauges().values()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        try:
            return self._reading.result(WAIT_S)
        except TimeoutError:
            logger.warning("action=scrape_failed error=no answer within %g s", WAIT_S)
            return [GaugeMetricFamily("smartqueue_database_up", GAUGES[0][1], value=0)]


def read() -> list[GaugeMetricFamily]:
    """All gauges that have a value, over this thread's connection."""
    gauges = _gauges()
    up = gauges.pop("smartqueue_database_up")
    up.add_metric([], _fill_all(gauges))
    return [up, *(family for family in gauges.values() if family.samples)]


def register(registry: CollectorRegistry = REGISTRY) -> None:
    """Add the collector to the registry of this process, once."""
    with _lock:
        if registry not in _registered:
            registry.register(QueueCollector())
            _registered.append(registry)


_lock = threading.Lock()
_registered: list[CollectorRegistry] = []


def _read_and_close() -> list[GaugeMetricFamily]:
    try:
        return read()
    finally:
        connection.close()


def _gauges() -> Gauges:
    return {name: GaugeMetricFamily(name, meaning, labels=labels) for name, meaning, labels in GAUGES}


def _fill_jobs(gauges: Gauges) -> None:
    found = {(status, lane): count for status, lane, count in _rows(UNFINISHED)}
    for status in states.ACTIVE:
        for lane in ordering.LANES:
            gauges["smartqueue_jobs"].add_metric([status, lane], found.get((status, lane), 0))


def _fill_oldest_queued(gauges: Gauges) -> None:
    found = _rows(OLDEST_QUEUED)
    gauges["smartqueue_oldest_queued_seconds"].add_metric([], found[0][0] if found else 0)


def _fill_dead_rows(gauges: Gauges) -> None:
    for table, count in _rows(DEAD_ROWS):
        gauges["smartqueue_dead_rows"].add_metric([table], count)


def _fill_snapshot(gauges: Gauges) -> None:
    """One sample: with names only while somebody is to blame, or each scrape would begin a series."""
    with _limited() as cursor:
        holder = oldest_holder(cursor, settings.SNAPSHOT_WARN_S)
    if holder is None:
        labels, age_s = ["", "", ""], 0.0
    else:
        labels = [holder.kind, "" if holder.pid is None else str(holder.pid), holder.name]
        age_s = math.nan if holder.age_s is None else holder.age_s
    gauges["smartqueue_oldest_snapshot_seconds"].add_metric(labels, age_s)


def _fill_workers(gauges: Gauges) -> None:
    found: dict[str, int] = dict(_rows(WORKERS, silence=silence()))
    for status in (Worker.ACTIVE, Worker.STOPPING, Worker.LOST):
        gauges["smartqueue_workers"].add_metric([status], found.get(status, 0))


def _fill_leader(gauges: Gauges) -> None:
    for term, age_s in _rows(LEADER):
        gauges["smartqueue_leader_term"].add_metric([], term)
        gauges["smartqueue_leader_last_seen_seconds"].add_metric([], age_s)


def _fill_attempts(gauges: Gauges) -> None:
    for job_type, outcome, count in _rows(ATTEMPTS):
        gauges["smartqueue_attempts_1h"].add_metric([job_type, outcome], count)


def _fill_times(gauges: Gauges) -> None:
    for job_type, milliseconds in _rows(TIMES, sample=SAMPLE, quantiles=list(QUANTILES)):
        name = "smartqueue_wait_seconds_1h" if job_type is None else "smartqueue_run_seconds_1h"
        labels = [] if job_type is None else [job_type]
        for quantile, value in zip(QUANTILES, milliseconds, strict=True):
            gauges[name].add_metric([*labels, str(quantile)], value / 1000)


def _fill_mape(gauges: Gauges) -> None:
    for job_type, mape in _rows(MAPE, sample=SAMPLE):
        gauges["smartqueue_prediction_mape_24h"].add_metric([job_type], mape)


def _fill_forecast(gauges: Gauges) -> None:
    """After `_fill_jobs`, whose count of the queue is too dear to be made twice; away where that is away."""
    counts = [
        sample for sample in gauges["smartqueue_jobs"].samples if sample.labels["status"] == states.QUEUED
    ]
    if not counts:
        return
    found = platform_forecast(_rows, int(sum(sample.value for sample in counts)))
    for minutes in AHEAD_MINUTES:
        for name, values in (("arrivals_per_minute", found.arrivals), ("queued_seconds", found.queued_s)):
            gauges[f"smartqueue_forecast_{name}"].add_metric([str(minutes)], values[minutes - 1])
    gauges["smartqueue_workers_wanted"].add_metric([], found.workers_wanted)


def _fill_all(gauges: Gauges) -> int:
    """1 when the database answered. A statement that took too long costs only its own gauge."""
    for fill in FILLS:
        try:
            with walls.own_role():
                fill(gauges)
        except Error as error:
            logger.warning("action=scrape_failed part=%s error=%s", fill.__name__, str(error).strip())
            if not isinstance(error.__cause__, psycopg.errors.QueryCanceled | psycopg.errors.UndefinedTable):
                return 0
    return 1


FILLS: tuple[Callable[[Gauges], None], ...] = (
    _fill_jobs,
    _fill_oldest_queued,
    _fill_dead_rows,
    _fill_snapshot,
    _fill_workers,
    _fill_leader,
    _fill_attempts,
    _fill_times,
    _fill_mape,
    _fill_forecast,
)


def _rows(statement: str, **parameters: Any) -> list[Row]:
    with _limited() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


@contextmanager
def _limited() -> Iterator[CursorWrapper]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(TIME_LIMIT_MS)])
        yield cursor
