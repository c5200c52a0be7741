"""The head of the queue, predicted anew: the rank in force when a job is claimed rests on what is known by then.

Bounded whatever the length of the queue: FLOWS flows are looked at, HEAD jobs of those that begin first are read, and
only those of them are written whose prediction changed by more than CHANGED. Called by the leader.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from jobs.prediction import NEUTRAL, Prediction, PredictionRequest, predict

HEAD = 300
FLOWS = 5_000
CHANGED = 1.25  # or its inverse: predicted now, to predicted then

# From one flow to the next through the index, as in jobs.claims.LOOK. No job of the head is in a flow but the HEAD that
# begin first. Of each its first jobs, several times as many as make HEAD: some flows have more of the head than others.
_HEAD = """
WITH RECURSIVE flow AS (
    (
        SELECT flow_id, rank FROM jobs_job WHERE status = 'queued' AND rank > '-infinity'
        ORDER BY flow_id, rank, id LIMIT 1
    )
    UNION ALL
    SELECT following.flow_id, following.rank FROM flow, LATERAL (
        SELECT flow_id, rank FROM jobs_job
        WHERE status = 'queued' AND rank > '-infinity' AND flow_id > flow.flow_id
        ORDER BY flow_id, rank, id LIMIT 1
    ) following
), at_work AS MATERIALIZED (
    SELECT flow_id FROM (SELECT * FROM flow LIMIT %(flows)s) walked ORDER BY rank, flow_id LIMIT %(head)s
)
SELECT job.id, job.org_id, job.user_id, job.type, job.name, job.lane, job.timeout_s, job.payload,
    job.predicted_runtime_ms, job.predicted_low_ms, job.predicted_high_ms
FROM at_work, LATERAL (
    SELECT * FROM jobs_job
    WHERE status = 'queued' AND rank > '-infinity' AND flow_id = at_work.flow_id
    ORDER BY rank, id LIMIT least(4 * %(head)s / (SELECT count(*) FROM at_work), %(head)s)
) job
ORDER BY job.rank, job.id LIMIT %(head)s
"""

# The difference is added, so that what else is in a rank stays. A job that now ranks before what workers remember of
# its flow has to be found like an arrival: it is queued by this transaction.
_RANK = """
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest(
        %(ids)s::bigint[], %(before)s::float8[], %(shifts)s::float8[], %(predicted)s::float8[], %(low)s::float8[],
        %(high)s::float8[], %(priorities)s::float8[], %(sources)s::text[], %(models)s::bigint[]
    ) AS t(id, before, shift, predicted, low, high, priority, source, model)
), free AS MATERIALIZED (
    SELECT id FROM jobs_job WHERE id = ANY(%(ids)s::bigint[]) AND status = 'queued'
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE jobs_job SET rank = rank + shift, predicted_runtime_ms = predicted, predicted_low_ms = low,
    predicted_high_ms = high, priority = wanted.priority, prediction_source = source, model_version = model,
    queued_xid = pg_current_xact_id()::text::bigint
FROM wanted
WHERE jobs_job.id = wanted.id AND jobs_job.id = ANY(ARRAY(SELECT id FROM free))
    AND jobs_job.status = 'queued' AND predicted_runtime_ms IS NOT DISTINCT FROM before
RETURNING org_id
"""


class Waiting(NamedTuple):
    """A job at the head, and what was predicted of it."""

    id: int
    org_id: int
    user_id: int | None
    type: str
    name: str
    lane: str
    timeout_s: float
    payload: Any
    predicted_ms: float | None
    low_ms: float | None
    high_ms: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """A job that is predicted anew, and by how much that moves its rank, in seconds."""

    job: Waiting
    now: Prediction
    shift: float


def refresh_head() -> list[int]:
    """Predict the head of the queue anew; answers the organisations of the jobs whose rank changed, each job once."""
    changes = _changes(_head())
    return _write(changes) if changes else []


def _head() -> list[Waiting]:
    rows = [Waiting(*row) for row in _run(_HEAD, {"head": HEAD, "flows": FLOWS})]
    return [row._replace(payload=json.loads(row.payload)) for row in rows]


def _changes(head: Sequence[Waiting]) -> list[Change]:
    """Without those of whom the predictor has nothing new to say, or nothing at all."""
    predicted = predict([_request(job) for job in head])
    return [
        Change(
            job,
            now,
            _head_start(job.lane, now)
            - settings.ORDERING.head_start(
                lane=job.lane, predicted_ms=job.predicted_ms, low_ms=job.low_ms, high_ms=job.high_ms
            ),
        )
        for job, now in zip(head, predicted, strict=True)
        if now.source != NEUTRAL.source and _differ(job.predicted_ms, now.runtime_ms)
    ]


def _differ(before_ms: float | None, now_ms: float | None) -> bool:
    if before_ms is None or now_ms is None:
        return now_ms is not None
    least, most = sorted((max(before_ms, 1.0), max(now_ms, 1.0)))
    return most > CHANGED * least


def _head_start(lane: str, prediction: Prediction) -> float:
    return float(
        settings.ORDERING.head_start(
            lane=lane,
            predicted_ms=prediction.runtime_ms,
            low_ms=prediction.low_ms,
            high_ms=prediction.high_ms,
        )
    )


def _request(job: Waiting) -> PredictionRequest:
    return PredictionRequest(
        org_id=job.org_id,
        type=job.type,
        name=job.name,
        lane=job.lane,
        user_id=job.user_id,
        timeout_s=None if job.timeout_s == settings.JOB_TIMEOUT_S else job.timeout_s,
        payload=job.payload,
    )


def _write(changes: Sequence[Change]) -> list[int]:
    parameters = {
        "ids": [change.job.id for change in changes],
        "before": [change.job.predicted_ms for change in changes],
        "shifts": [change.shift for change in changes],
        "predicted": [change.now.runtime_ms for change in changes],
        "low": [change.now.low_ms for change in changes],
        "high": [change.now.high_ms for change in changes],
        "priorities": [change.now.priority for change in changes],
        "sources": [change.now.source for change in changes],
        "models": [change.now.model_version for change in changes],
    }
    return [org_id for (org_id,) in _run(_RANK, parameters)]


def _run(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
