"""Writes what is known of starts: estimates of the head of the queue, how the first ones came out, and the correction.

The one writer of the tables in `jobs.eta_models`; called by the leader's duty, inside its transaction. Each call does a
bounded amount of work, whatever the length of the queue.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from django.db import connection

from jobs import eta_snapshot
from jobs.calibration import BUCKETS, Correction, Shift, bucket
from jobs.eta_models import Eta, EtaCorrection, EtaScore
from jobs.eta_snapshot import Snapshot
from jobs.simulation import Interval, Times, simulate

MOST_SETTLED = 500  # rows that one call looks at
MOST_ROWS = 20_000  # jobs that have had an estimate and have not started
MOST_LEARNED = (
    10  # of one bucket and call: jobs that start together err together, and tell little more than one
)
KEEP = timedelta(days=60)
# An estimate that is still about right is not written again until it is so old: see jobs.eta.FRESH_S.
RENEW_S = 4.0

# Every read has an index in its order; on statistics from before a queue filled up the planner would rather sort.
PLANNER = """
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_sort', 'off', true)
"""

WRITE = """
INSERT INTO jobs_eta AS eta (
    job_id, org_id, flow_id, rank, as_of, start_low_at, start_at, start_high_at, finish_low_at, finish_at,
    finish_high_at, first_at, first_low_at, first_high_at, first_raw
)
SELECT job_id, org_id, flow_id, rank, at, at + make_interval(secs => start_low), at + make_interval(secs => start),
    at + make_interval(secs => start_high), at + make_interval(secs => finish_low), at + make_interval(secs => finish),
    at + make_interval(secs => finish_high), at, at + make_interval(secs => start_low),
    at + make_interval(secs => start_high), ARRAY[raw_low, raw, raw_high]
FROM (SELECT %(at)s::timestamptz AS at) present, unnest(
    %(job_id)s::bigint[], %(org_id)s::bigint[], %(flow_id)s::bigint[], %(rank)s::float8[],
    %(start_low)s::float8[], %(start)s::float8[], %(start_high)s::float8[],
    %(finish_low)s::float8[], %(finish)s::float8[], %(finish_high)s::float8[],
    %(raw_low)s::float8[], %(raw)s::float8[], %(raw_high)s::float8[]
) AS t(job_id, org_id, flow_id, rank, start_low, start, start_high, finish_low, finish, finish_high,
    raw_low, raw, raw_high)
ON CONFLICT (job_id) DO UPDATE SET
    flow_id = excluded.flow_id, rank = excluded.rank, as_of = excluded.as_of,
    start_low_at = excluded.start_low_at, start_at = excluded.start_at, start_high_at = excluded.start_high_at,
    finish_low_at = excluded.finish_low_at, finish_at = excluded.finish_at, finish_high_at = excluded.finish_high_at
WHERE eta.as_of < excluded.as_of - make_interval(secs => %(renew_s)s)
    OR greatest(abs(extract(epoch FROM excluded.start_low_at - eta.start_low_at)),
            abs(extract(epoch FROM excluded.start_at - eta.start_at)),
            abs(extract(epoch FROM excluded.start_high_at - eta.start_high_at)),
            abs(extract(epoch FROM excluded.finish_at - eta.finish_at)))
        > 0.2 + 0.1 * greatest(extract(epoch FROM eta.start_at - excluded.as_of), 0)
"""

# A wait is over when the job has started since its first estimate, even if it was handed back meanwhile. What can start
# no more, or is held back by people, is forgotten.
WAITS = """
SELECT eta.job_id, eta.org_id, job.started_at >= eta.first_at, (job.started_at AT TIME ZONE 'UTC')::date,
    extract(epoch FROM job.started_at - eta.first_at)::float8, job.started_at < eta.first_low_at,
    job.started_at > eta.first_high_at, eta.first_raw,
    job.id IS NULL OR job.status <> 'queued' OR EXISTS (
        SELECT 1 FROM jobs_pause pause
        WHERE (pause.org_id IS NULL OR pause.org_id = job.org_id) AND (pause.queue IS NULL OR pause.queue = job.queue)
            AND (pause.type IS NULL OR pause.type = job.type)
    )
FROM jobs_eta eta LEFT JOIN jobs_job job ON job.id = eta.job_id
WHERE eta.job_id > %(after)s ORDER BY eta.job_id LIMIT %(most)s
"""

SCORE = """
INSERT INTO jobs_etascore AS score (org_id, day, started, inside)
SELECT * FROM unnest(%(orgs)s::bigint[], %(days)s::date[], %(started)s::int[], %(inside)s::int[])
ON CONFLICT (org_id, day) DO UPDATE
    SET started = score.started + excluded.started, inside = score.inside + excluded.inside
"""

COLUMNS = (
    "job_id",
    "org_id",
    "flow_id",
    "rank",
    *("start_low", "start", "start_high"),
    *("finish_low", "finish", "finish_high"),
    *("raw_low", "raw", "raw_high"),
)

OLDEST = "DELETE FROM jobs_eta WHERE job_id IN (SELECT job_id FROM jobs_eta ORDER BY as_of LIMIT %(most)s)"


class Wait(NamedTuple):
    """A job with a first estimate. `started` is None if it never did; `gone`: it need not be watched any more."""

    job_id: int
    org_id: int
    started: bool | None
    day: date | None
    waited_s: float | None
    below: bool | None
    above: bool | None
    raw: list[float]
    gone: bool


class Estimates:
    """The estimates of the head, and how far the round through those that may be over has come."""

    def __init__(self) -> None:
        self._after = 0
        self._met = 0  # rows in this round
        self._pruned: date | None = None

    def settle(self) -> int:
        """Score the waits that are over and learn from them; answers how many rows went."""
        waits = [Wait(*row) for row in _fetch(WAITS, {"after": self._after, "most": MOST_SETTLED})]
        over = [wait for wait in waits if wait.started or wait.gone]
        started = [wait for wait in over if wait.started]
        if over:
            Eta.objects.filter(pk__in=[wait.job_id for wait in over]).delete()
        if started:
            _score(started)
            _learn(started)
        self._met += len(waits) - len(over)
        if len(waits) == MOST_SETTLED:
            self._after = waits[-1].job_id
            return len(over)
        crowded, self._after, self._met = self._met > MOST_ROWS, 0, 0
        return len(over) + (_execute(OLDEST, {"most": MOST_SETTLED}) if crowded else 0)

    def refresh(self) -> int:
        """Estimate the head anew; answers how many estimates were written."""
        _fetch(PLANNER, {})
        snapshot = eta_snapshot.take()
        if snapshot is None or not snapshot.learned:
            return 0
        return _write(snapshot, simulate(snapshot.queue))

    def prune(self, today: date) -> int:
        """Once a day: forget scores that nobody looks at any more."""
        if self._pruned == today:
            return 0
        self._pruned = today
        deleted, _ = EtaScore.objects.filter(day__lt=today - KEEP).delete()
        return deleted


def shifts() -> list[Shift]:
    """The correction in force, by bucket."""
    columns = EtaCorrection.objects.values_list("bucket", "low_shift", "middle_shift", "high_shift")
    known = {place: Shift(*values) for place, *values in columns}
    return [known.get(place) or Correction().shift for place in range(BUCKETS)]


def _write(snapshot: Snapshot, found: dict[int, Times]) -> int:
    known = shifts()
    rows = []
    for job in snapshot.queue.waiting:
        raw = found.get(job.id)
        if raw is not None and not job.due_s:
            times = known[bucket(raw.start.middle)].applied_to_both(raw)
            org_id = snapshot.flows[job.flow].org_id
            rows.append((job.id, org_id, job.flow, job.rank, *times.start, *times.finish, *raw.start))
    if not rows:
        return 0
    columns: dict[str, Any] = {
        name: list(column) for name, column in zip(COLUMNS, zip(*rows, strict=True), strict=True)
    }
    return _execute(WRITE, columns | {"at": snapshot.at, "renew_s": RENEW_S})


def _score(started: Iterable[Wait]) -> None:
    counts = Counter((wait.org_id, wait.day) for wait in started)
    inside = Counter((wait.org_id, wait.day) for wait in started if not (wait.below or wait.above))
    keys = sorted(counts, key=str)
    _execute(
        SCORE,
        {
            "orgs": [org for org, _ in keys],
            "days": [day for _, day in keys],
            "started": [counts[key] for key in keys],
            "inside": [inside[key] for key in keys],
        },
    )


def _learn(started: Sequence[Wait]) -> None:
    """In the order of the starts within each bucket, as they were lived through."""
    by_bucket: dict[int, list[Wait]] = {}
    for wait in sorted(started, key=lambda wait: wait.waited_s or 0.0):
        by_bucket.setdefault(bucket(wait.raw[1]), []).append(wait)
    stored = EtaCorrection.objects.in_bulk(list(by_bucket))
    for place, waits in by_bucket.items():
        row = stored.get(place)
        correction = _correction(row)
        for wait in waits[:: math.ceil(len(waits) / MOST_LEARNED)]:
            correction.learn(
                Interval(*wait.raw), wait.waited_s or 0.0, below=bool(wait.below), above=bool(wait.above)
            )
        _keep(place, correction)


def _correction(row: EtaCorrection | None) -> Correction:
    if row is None:
        return Correction()
    return Correction(row.low, row.middle, row.high, row.low_miss, row.high_miss, row.seen)


def _keep(place: int, learned: Correction) -> None:
    shift = learned.shift
    EtaCorrection.objects.update_or_create(
        bucket=place,
        defaults={
            "low": learned.low,
            "middle": learned.middle,
            "high": learned.high,
            "low_miss": learned.low_miss,
            "high_miss": learned.high_miss,
            "seen": learned.seen,
            "low_shift": shift.low,
            "middle_shift": shift.middle,
            "high_shift": shift.high,
        },
    )


def _fetch(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def _execute(statement: str, parameters: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)
