"""Keeps the windows of past runs, from which predictions are made: a worker tells what ended, and what it told
is added to the table a little later, many runs at once.

Advice, kept outside of the transaction that records an attempt: it must not slow the finish path, and a
worker that dies takes half a second of it along. Of many runs of one key only the last are looked at.
Called by scheduler.remembering and predictor.learning.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from jobs.claims import Claimed
from predictor.history import WINDOW, Ask, CircleKey, Run, Seen, Window, seen
from predictor.models import RunHistory, Trust
from predictor.selectors import stated_timeout_s
from predictor.shadow import Shadow, Shadows
from predictor.traits import traits_of

_TRUST = """
INSERT INTO predictor_trust AS kept (org_id, job_type, errors, low, high, runs, updated_at)
SELECT org.id, asked.job_type, asked.errors, asked.low, asked.high, asked.runs, now()
FROM (SELECT %s::bigint AS org_id, %s AS job_type, %s::float8[] AS errors, %s::float8 AS low, %s::float8 AS high,
    %s::bigint AS runs) AS asked
LEFT JOIN orgs_organization AS org ON org.id = asked.org_id
WHERE asked.org_id IS NULL OR org.id IS NOT NULL
ON CONFLICT (org_id, job_type) DO UPDATE SET errors = EXCLUDED.errors, low = EXCLUDED.low,
    high = EXCLUDED.high, runs = EXCLUDED.runs, updated_at = now()
"""
MOST_KEYS = 2_000  # noted between two writes; more are left out
_LENGTH = WINDOW * len(Seen._fields)

# In one order, so that two workers that add to the same windows wait for each other and not in a circle.
_ADD = f"""
INSERT INTO predictor_runhistory AS kept (org_id, job_type, job_name, user_id, runs, count, updated_at)
SELECT org_id, job_type, job_name, user_id, runs, count, now()
FROM json_to_recordset(%s::json) AS new(
    org_id bigint, job_type text, job_name text, user_id bigint, runs float8[], count bigint
)
ORDER BY org_id, job_type COLLATE "C", job_name COLLATE "C", user_id
ON CONFLICT (org_id, job_type, job_name, user_id) DO UPDATE SET
    runs = (kept.runs || EXCLUDED.runs)[
        greatest(cardinality(kept.runs) + cardinality(EXCLUDED.runs) - {_LENGTH}, 0) + 1 :
    ],
    count = kept.count + EXCLUDED.count, updated_at = now()
"""  # noqa: S608 - constants


class Noted(NamedTuple):
    """An attempt that ended at `at` of the worker's own steady clock, in seconds."""

    job: Claimed
    outcome: str
    runtime_ms: float
    at: float


class Notes:
    """What ended since the last write: per org, type, name and submitter the last runs, and how many."""

    def __init__(self) -> None:
        self._ended: dict[tuple[int, str, str, int | None], tuple[list[int], deque[Noted]]] = {}

    def note(self, noted: Noted) -> None:
        job = noted.job
        key = (job.org_id, job.type, job.name, job.user_id)
        found = self._ended.get(key)
        if found is None:
            if len(self._ended) >= MOST_KEYS:
                return
            found = self._ended[key] = ([0], deque(maxlen=WINDOW))
        found[0][0] += 1
        found[1].append(noted)

    def __bool__(self) -> bool:
        return bool(self._ended)

    def take(self) -> list[tuple[int, list[Noted]]]:
        """Groups of one key, with how many runs each stands for; they are no longer noted."""
        taken = [(count[0], list(last)) for count, last in self._ended.values()]
        self._ended = {}
        return taken


def keep(groups: Iterable[tuple[int, list[Noted]]], now: float) -> None:
    """Add to the table what a worker noted; `now` is its steady clock, set against the database's."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        offset = cursor.fetchone()[0] - now
        cursor.execute(_ADD, [json.dumps(_rows(_runs(groups, offset)))])


def keep_trust(shadows: Mapping[tuple[int, str], Shadow]) -> None:
    """Write how far the network is believed; (0, "") stands for all organisations together."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(
            _TRUST,
            [
                (org_id or None, job_type, shadow.errors, shadow.low, shadow.high, shadow.runs)
                for (org_id, job_type), shadow in sorted(shadows.items())
            ],
        )


def trust() -> Shadows:
    """What `keep_trust` wrote."""
    shadows = Shadows()
    for row in Trust.objects.all():
        shadow = Shadow(list(row.errors), row.low, row.high, row.runs)
        shadows.put(row.org_id or 0, row.job_type, shadow)
    return shadows


def fill(runs: Iterable[Run]) -> int:
    """Fill an empty table from a history; answers the number of windows."""
    rows = _rows((run, 0) for run in runs)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ADD, [json.dumps(rows)])
    return len(rows)


def is_empty() -> bool:
    return not RunHistory.objects.exists()


def drop_stale(days: int = 90) -> int:
    """Windows that nothing was added to for so long."""
    removed, _ = RunHistory.objects.filter(updated_at__lt=timezone.now() - timedelta(days=days)).delete()
    return removed


def _runs(groups: Iterable[tuple[int, list[Noted]]], offset: float) -> Iterator[tuple[Run, int]]:
    for count, last in groups:
        for place, one in enumerate(last):
            yield _run(one, offset), count - len(last) if place == 0 else 0


def _rows(runs: Iterable[tuple[Run, int]]) -> list[dict[str, object]]:
    """The windows of these runs, as rows; each comes with how many of its key were left out."""
    windows: dict[CircleKey, Window] = {}
    for run, left_out in sorted(runs, key=lambda entry: entry[0].ended_at):
        for key in dict.fromkeys(run.ask.circles):
            window = windows.setdefault(key, Window())
            window.add(seen(run))
            window.count += left_out
    return [_row(key, window) for key, window in windows.items()]


def _row(key: CircleKey, window: Window) -> dict[str, object]:
    org_id, job_type, job_name, user_id = key
    runs = [number for run in window.runs for number in run]
    return {
        "org_id": org_id, "job_type": job_type, "job_name": job_name, "user_id": user_id,
        "runs": runs, "count": window.count,
    }  # fmt: skip


def _run(noted: Noted, offset: float) -> Run:
    job, ended_at = noted.job, noted.at + offset
    ask = Ask(
        org_id=job.org_id,
        job_type=job.type,
        job_name=job.name,
        lane="normal",  # no window keeps it
        at=ended_at - (noted.runtime_ms + job.wait_ms) / 1000,
        user_id=job.user_id or 0,
        timeout_s=stated_timeout_s(job.timeout_s),
        attempt=job.attempt,
        traits=traits_of(job.name, job.payload),
    )
    return Run(ask, noted.outcome, noted.runtime_ms, ended_at)
