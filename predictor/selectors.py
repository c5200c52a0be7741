"""What the predictor reads: for a prediction the windows of its circles, for training the execution history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import QuerySet

from jobs.models import ExecutionLog, Job
from jobs.prediction import PredictionRequest
from orgs.walls import rows_of
from predictor.estimate import Question
from predictor.history import KNOWN, MOST_OPEN, Ask, CircleKey, Open, Past, Run, Seen, Window
from predictor.models import Trust
from predictor.shadow import Shadow
from predictor.traits import traits_of

_NUMBERS = len(Seen._fields)
_ANYBODY = -1
_CHUNK = 200  # rows at a time: each brings a payload along
_OF_RUN = (
    *("org_id", "job_type", "job_name", "lane", "attempt", "outcome", "runtime_ms", "wait_ms", "logged_at"),
    *("job__user_id", "job__timeout_s", "job__payload"),
)

# One statement of index scans only: the windows by their unique key, how far the network is believed, and the
# newest unfinished jobs of each organisation, no more than MOST_OPEN of them (job_of_org_not_done). The active
# version rides along, so that no clock decides when a process takes up a new model. A status is asked for as a
# range, so that only that index has the order: by the primary key a planner that takes each organisation for
# an average one would look for the jobs of an idle one through all jobs of the others.
_READ = f"""
SELECT 'model' AS kind, NULL::bigint AS org_id, '' AS job_type, '' AS job_name, NULL::bigint AS user_id,
    max(id) AS count, ARRAY[extract(epoch FROM statement_timestamp())::float8] AS numbers
FROM predictor_modelversion WHERE active
UNION ALL
SELECT 'window', known.org_id, known.job_type, known.job_name, known.user_id, count, runs
FROM unnest(%(orgs)s::bigint[], %(types)s::text[], %(names)s::text[], %(users)s::bigint[])
    AS asked(org_id, job_type, job_name, user_id)
JOIN predictor_runhistory AS known USING (org_id, job_type, job_name, user_id)
UNION ALL
SELECT 'trust', org_id, job_type, '', NULL, runs, ARRAY[low, high] || errors
FROM predictor_trust WHERE org_id = ANY(%(asked)s::bigint[]) OR org_id IS NULL
UNION ALL
SELECT 'open', org.id, job.type, job.name, coalesce(job.user_id, 0), count(*),
    ARRAY[extract(epoch FROM min(created_at)), extract(epoch FROM max(created_at))]::float8[]
FROM unnest(%(asked)s::bigint[]) AS org(id) CROSS JOIN LATERAL (
    (SELECT type, name, user_id, created_at FROM jobs_job
        WHERE org_id = org.id AND status BETWEEN 'running' AND 'running' ORDER BY status, id DESC
        LIMIT {MOST_OPEN // 2})
    UNION ALL
    (SELECT type, name, user_id, created_at FROM jobs_job
        WHERE org_id = org.id AND status BETWEEN 'queued' AND 'queued' ORDER BY status, id DESC
        LIMIT {MOST_OPEN // 2})
) AS job
GROUP BY 2, 3, 4, 5
"""  # noqa: S608 - constants


@dataclass(slots=True)
class Known:
    """What is known at a prediction: the active version, the time (Unix seconds), and what was read."""

    version: int | None = None
    at: float = 0.0
    windows: dict[CircleKey, Window] = field(default_factory=dict)
    trust: dict[tuple[int | None, str], Shadow] = field(default_factory=dict)
    open: dict[CircleKey, Open] = field(default_factory=dict)
    _found: dict[CircleKey, tuple[Past, Shadow]] = field(default_factory=dict)

    def question(self, ask: Ask) -> Question:
        """Jobs of one name and submitter have the same past: it is put together once."""
        past, shadow = self._found.get(_name_of(ask)) or self._find(ask)
        return Question(ask, past, shadow)

    def _find(self, ask: Ask) -> tuple[Past, Shadow]:
        windows = tuple(self.windows.get(key) for key in ask.circles)
        shadow = self.trust.get((ask.org_id, ask.job_type)) or self.trust.get((None, "")) or Shadow()
        found = self._found[_name_of(ask)] = Past(windows, self._open(ask)), shadow
        return found

    def _open(self, ask: Ask) -> tuple[Open, Open, Open]:
        own = self.open.get((ask.org_id, ask.job_type, ask.job_name, ask.user_id), Open())
        user = self.open.get((ask.org_id, "", "", ask.user_id), Open())
        return own, user, self.open.get((ask.org_id, "", "", _ANYBODY), Open())

    def add_open(self, org_id: int, job_type: str, job_name: str, user_id: int, jobs: Open) -> None:
        """Counted for its name and submitter, for its submitter, and for its organisation."""
        keys = ((job_type, job_name, user_id), ("", "", user_id), ("", "", _ANYBODY))
        for key in keys:
            so_far = self.open.get((org_id, *key))
            self.open[org_id, *key] = _together(so_far, jobs) if so_far else jobs


def _together(one: Open, other: Open) -> Open:
    return Open(one.jobs + other.jobs, min(one.first_at, other.first_at), max(one.last_at, other.last_at))


def ask_of(request: PredictionRequest, at: float = 0.0) -> Ask:
    return Ask(
        org_id=request.org_id,
        job_type=request.type,
        job_name=request.name,
        lane=request.lane,
        at=at,
        user_id=request.user_id or 0,
        timeout_s=request.timeout_s or 0.0,
        traits=traits_of(request.name, request.payload),
    )


def known_for(asks: Sequence[Ask], *, after: str = "") -> Known:
    """Reads everything for these asks in one statement; `after` is one that is sent before it."""
    with connection.cursor() as cursor:
        cursor.execute(f"{after};{_READ}" if after else _READ, _parameters(asks))
        if after:
            cursor.nextset()
        rows = cursor.fetchall()
    return _known(rows)


def known_quickly(asks: Sequence[Ask]) -> Known:
    """As `known_for`, in a session of this thread's own: planned once, and answered in binary."""
    return _known(rows_of(_READ, _parameters(asks), prepare=True, binary=True))


def _name_of(ask: Ask) -> CircleKey:
    return ask.org_id, ask.job_type, ask.job_name, ask.user_id


def _parameters(asks: Sequence[Ask]) -> dict[str, list[Any]]:
    different = {_name_of(ask): ask for ask in asks}.values()
    keys = list(dict.fromkeys(key for ask in different for key in ask.circles))
    orgs, types, names, users = (list(column) for column in zip(*keys, strict=True))
    asked = sorted({ask.org_id for ask in asks})
    return {"orgs": orgs, "types": types, "names": names, "users": users, "asked": asked}


def _known(rows: Sequence[tuple[Any, ...]]) -> Known:
    known = Known()
    for kind, org_id, job_type, job_name, user_id, count, numbers in rows:
        if kind == "model":
            known.version, known.at = count, numbers[0]
        elif kind == "window":
            known.windows[org_id, job_type, job_name, user_id] = window_of(numbers, count)
        elif kind == "trust":
            known.trust[org_id, job_type] = Shadow(numbers[2:], numbers[0], numbers[1], count)
        else:
            known.add_open(org_id, job_type, job_name, user_id, Open(count, *numbers))
    return known


def window_of(numbers: Sequence[float], count: int) -> Window:
    """From the columns of a RunHistory; empty where they are none of this SmartQueue's."""
    if len(numbers) % _NUMBERS or not all(map(math.isfinite, numbers)):
        return Window()
    runs = (Seen(*numbers[at : at + _NUMBERS]) for at in range(0, len(numbers), _NUMBERS))
    return Window(runs, count)


def overall_trust() -> Shadow:
    """How far the network is believed over all organisations and types together."""
    kept = Trust.objects.filter(org=None, job_type="").first()
    return Shadow(kept.errors, kept.low, kept.high, kept.runs) if kept else Shadow()


def newest_runs(
    limit: int, since: datetime | None = None, org_id: int | None = None, *, up_to: int | None = None
) -> list[Run]:
    """The newest `limit` executions logged at or after `since` (None: ever) and not after the log `up_to`,
    oldest first."""
    logs = ExecutionLog.objects.filter(outcome__in=KNOWN).order_by("-id")
    if up_to is not None:
        logs = logs.filter(id__lte=up_to)
    if since:
        logs = logs.filter(logged_at__gte=since)
    if org_id is not None:
        logs = logs.filter(org_id=org_id)
    return _runs(logs[:limit])[::-1]


@dataclass(frozen=True, slots=True)
class Placed:
    """A job that was submitted."""

    job_id: int
    ask: Ask

    @property
    def at(self) -> float:
        return self.ask.at


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that ended, and what had been predicted of it (milliseconds) with which version."""

    log_id: int
    job_id: int
    run: Run
    predicted_ms: float | None
    version: int | None

    @property
    def at(self) -> float:
        return self.run.ended_at


def last_log_id() -> int:
    return ExecutionLog.objects.order_by("-id").values_list("id", flat=True).first() or 0


def last_job_id() -> int:
    return Job.objects.order_by("-id").values_list("id", flat=True).first() or 0


def count_runs_since(since: datetime, most: int) -> int:
    return len(ExecutionLog.objects.filter(logged_at__gte=since).values_list("id")[:most])


def ended_after(log_id: int, most: int) -> list[Ended]:
    """Attempts that were logged after that one, oldest first; of more than `most` the newest."""
    logs = ExecutionLog.objects.filter(id__gt=log_id, outcome__in=KNOWN).order_by("-id")[:most]
    fields = ("id", "job_id", "predicted_runtime_ms", "job__model_version")
    rows = logs.values_list(*_OF_RUN, *fields).iterator(chunk_size=_CHUNK)
    return [Ended(row[-4], row[-3], _run(*row[:-4]), row[-2], row[-1]) for row in rows][::-1]


def placed_after(job_id: int, most: int) -> list[Placed]:
    """Jobs that were submitted after that one, oldest first; of more than `most` the newest."""
    jobs = Job.objects.filter(id__gt=job_id).order_by("-id")[:most]
    fields = ("id", "org_id", "type", "name", "lane", "created_at", "user_id", "timeout_s", "payload")
    return [_placed(*row) for row in jobs.values_list(*fields).iterator(chunk_size=_CHUNK)][::-1]


def _placed(
    job_id: int, org_id: int, job_type: str, job_name: str, lane: str, created_at: datetime,
    user_id: int | None, timeout_s: float, payload: dict[str, Any],
) -> Placed:  # fmt: skip
    ask = Ask(
        org_id=org_id,
        job_type=job_type,
        job_name=job_name,
        lane=lane,
        at=created_at.timestamp(),
        user_id=user_id or 0,
        timeout_s=stated_timeout_s(timeout_s),
        traits=traits_of(job_name, payload),
    )
    return Placed(job_id, ask)


def _runs(logs: QuerySet[ExecutionLog]) -> list[Run]:
    return [_run(*row) for row in logs.values_list(*_OF_RUN).iterator(chunk_size=_CHUNK)]


def _run(
    org_id: int, job_type: str, job_name: str, lane: str, attempt: int, outcome: str, runtime_ms: float,
    wait_ms: float, logged_at: datetime, user_id: int | None, timeout_s: float, payload: dict[str, Any],
) -> Run:  # fmt: skip
    ended_at = logged_at.timestamp()
    ask = Ask(
        org_id=org_id,
        job_type=job_type,
        job_name=job_name,
        lane=lane,
        at=ended_at - (runtime_ms + wait_ms) / 1000,
        user_id=user_id or 0,
        timeout_s=stated_timeout_s(timeout_s),
        attempt=attempt,
        traits=traits_of(job_name, payload),
    )
    return Run(ask, outcome, runtime_ms, ended_at)


def stated_timeout_s(timeout_s: float) -> float:
    """0 for the default, which nobody chose for this job."""
    return 0.0 if timeout_s == settings.JOB_TIMEOUT_S else timeout_s
