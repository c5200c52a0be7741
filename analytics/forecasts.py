"""What the forecast of the queue is made of, read for the whole platform. Called by analytics.collectors.

Cost does not grow with the number of jobs. No index has all jobs by time, and none is needed: ids are drawn
when jobs are stored, so the last id before a time is found by halving, each step one row by primary key, and
arrivals between two times are the difference of their ids. Ids that were drawn for nothing (repeated requests
with an idempotency key) are taken out by the share of ids that the latest jobs have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from django.conf import settings

from jobs.ordering import NEUTRAL_RUNTIME_MS
from jobs.selectors import silence
from predictor.estimate import LONGEST_MS
from predictor.forecast import Arrivals, Forecast, Load, Policy, forecast

Read = Callable[..., list[tuple[Any, ...]]]

MINUTES = 15
WINDOW = 60
DAYS = 7
SLOT = 5
SAMPLE = 5_000
_DAY = 24 * 60
# NaN is greater than every number to PostgreSQL.
_WORK_S = f"greatest(0, least(coalesce(predicted_runtime_ms, {NEUTRAL_RUNTIME_MS}), {LONGEST_MS})) / 1000"

# Between two ids that exist, those in the gap count as drawn right after the earlier one.
LAST_IDS = """
WITH RECURSIVE search (age, at, low, high) AS (
    SELECT age, statement_timestamp() - make_interval(secs => 60 * age), first.id - 1, last.id
    FROM unnest(%(ages)s::float8[]) AS age,
        (SELECT min(id) AS id FROM jobs_job) first, (SELECT max(id) AS id FROM jobs_job) last
    UNION ALL
    SELECT age, at, CASE WHEN found.created_at > at THEN low ELSE middle END,
        CASE WHEN found.created_at > at THEN found.id - 1 ELSE high END
    FROM search
    CROSS JOIN LATERAL (SELECT low + (high - low + 1) / 2 AS middle) half
    LEFT JOIN LATERAL (
        SELECT id, created_at FROM jobs_job WHERE id > low AND id <= middle ORDER BY id DESC LIMIT 1
    ) found ON true
    WHERE low < high
)
SELECT age, low FROM search WHERE low = high
"""
FIRST_AGE = """
SELECT extract(epoch FROM statement_timestamp() - created_at)::float8 / 60 FROM jobs_job ORDER BY id LIMIT 1
"""
LATEST = f"""
WITH latest AS (SELECT id, {_WORK_S} AS work_s FROM jobs_job ORDER BY id DESC LIMIT %(sample)s)
SELECT count(*)::float8 / (max(id) - min(id) + 1), avg(work_s) FROM latest HAVING count(*) > 0
"""  # noqa: S608 - numbers of our own
# The mean over those that have waited longest, so that a scrape never reads a whole queue. Jobs that a pause
# holds bring no work: no number of workers would run them.
WAITING = f"""
WITH waiting AS (
    SELECT org_id, queue, type, {_WORK_S} AS work_s
    FROM jobs_job WHERE status = 'queued' ORDER BY queued_xid LIMIT %(sample)s
)
SELECT avg(CASE WHEN EXISTS (
    SELECT FROM jobs_pause pause
    WHERE coalesce(pause.org_id, job.org_id) = job.org_id AND coalesce(pause.queue, job.queue) = job.queue
        AND coalesce(pause.type, job.type) = job.type
) THEN 0 ELSE work_s END) FROM waiting job HAVING count(*) > 0
"""  # noqa: S608 - numbers of our own
SLOTS = """
SELECT count(*), coalesce(sum(concurrency), 0) FROM jobs_worker
WHERE status = 'active' AND wanted = 'run' AND last_seen >= now() - %(silence)s
"""


def platform_forecast(read: Read, queued: int) -> Forecast:
    """The next `MINUTES` over all organisations; `read(statement, **parameters)` answers rows.

    `queued`: how many jobs are queued now.
    """
    latest = read(LATEST, sample=SAMPLE)
    share, work_s = latest[0] if latest else (1.0, 0.0)
    waiting = read(WAITING, sample=SAMPLE)
    ((workers, slots),) = read(SLOTS, silence=silence())
    load = Load(queued * waiting[0][0] if waiting else 0.0, work_s, slots)
    policy = Policy(target_s=settings.BACKLOG_TARGET_S, most=settings.WORKERS_MAX)
    slots_each = slots / workers if workers else settings.WORKER_CONCURRENCY
    return forecast(_arrivals(read, share), load, replace(policy, slots=slots_each), MINUTES)


def _arrivals(read: Read, share: float) -> Arrivals:
    """The last hour by the minute; of earlier days by `SLOT` minutes, spread evenly over them.

    Only times since the first job: before it there was no platform, not a quiet one.
    """
    first = read(FIRST_AGE)
    if not first:
        return Arrivals()
    known = min(WINDOW, max(1, int(first[0][0])))
    days = [day for day in range(1, DAYS + 1) if day * _DAY + WINDOW <= first[0][0]]
    windows = [list(range(known, -1, -1))]
    windows += [list(range(day * _DAY + WINDOW, day * _DAY - MINUTES - 1, -SLOT)) for day in days]
    found: dict[float, int] = dict(read(LAST_IDS, ages=sorted({age for window in windows for age in window})))
    if not found:
        return Arrivals()
    # Ids and times differ in order where transactions overlap.
    counts = [np.maximum(np.diff([found[age] for age in window]), 0) * share for window in windows]
    earlier = [np.repeat(slots / SLOT, SLOT) for slots in counts[1:]]
    return Arrivals(counts[0].tolist(), [day.tolist() for day in earlier])
