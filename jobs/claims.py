"""The statements that move jobs between the queue and the workers, and nothing else.

Each function is one statement in one transaction: it takes the edge of `jobs.states` only where the
row still stands where the caller believes it to be, and writes the event (and execution log) with
it. Called by the worker (claim, renew, finish) and by the leader's duties (promote_due,
reclaim_expired). Times come from the database clock; where a function takes `now`, it overrides it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.db import connection

from jobs import states

Held = tuple[int, int]  # job id, attempt
Ending = Literal["done", "failed", "timeout", "cancelled", "crashed", "released"]


@dataclass(frozen=True)
class Claimed:
    """A job as its worker gets it. `attempt` must be shown again to renew or finish it."""

    id: int
    org_id: int
    name: str
    type: str
    payload: Any
    attempt: int
    retry_count: int
    max_retries: int
    timeout_s: float
    wait_ms: float


@dataclass(frozen=True)
class Finish:
    """How an attempt ended. `retry_delay_s` None: retrying cannot mend it. `released` costs no attempt."""

    job_id: int
    attempt: int
    ending: Ending
    runtime_ms: float = 0.0
    result: Any = None
    error: str = ""
    retry_delay_s: float | None = None


@dataclass(frozen=True)
class Moved:
    """A row that took an edge."""

    job_id: int
    org_id: int
    status: str


# The LIMIT and the lock stay inside a MATERIALIZED CTE: inlined, a nested loop may run the subquery
# again and update more rows than asked for. Reads the partial index job_head_of_queue.
CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT id FROM jobs_job
    WHERE status = 'queued' AND type = ANY(%(types)s)
    ORDER BY rank, id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE jobs_job SET
        status = 'running', attempt = attempt + 1, worker_id = %(worker)s,
        started_at = coalesce(%(now)s, now()),
        lease_expires_at = coalesce(%(now)s, now()) + make_interval(secs => %(lease_s)s)
    WHERE id = ANY(ARRAY(SELECT id FROM picked))
    RETURNING id, org_id, name, type, payload, attempt, retry_count, max_retries, timeout_s, rank,
        greatest(extract(epoch FROM started_at - queued_at), 0) * 1000 AS wait_ms
), noted AS (
    INSERT INTO jobs_jobevent (org_id, job_id, old_status, new_status, reason, actor, at)
    SELECT org_id, id, 'queued', 'running', 'claimed, attempt ' || attempt, 'worker:' || %(worker)s,
        coalesce(%(now)s, now())
    FROM claimed
)
SELECT id, org_id, name, type, payload, attempt, retry_count, max_retries, timeout_s, wait_ms::float8
FROM claimed ORDER BY rank, id
"""

# One statement renews the leases, reports the worker alive and fetches cancel requests. A job that is
# missing from the answer was taken away: its worker must stop it. A row that somebody else holds is left
# for the next time, so that it cannot cost the others their leases; whose it is, is read without a lock.
RENEW = """
WITH beat AS (
    UPDATE jobs_worker SET last_seen = now(), running = cardinality(%(ids)s::bigint[]), status = %(status)s
    WHERE worker_id = %(worker)s
), held AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::bigint[], %(attempts)s::int[]) AS t(id, attempt)
), free AS MATERIALIZED (
    SELECT j.id FROM jobs_job j JOIN held USING (id, attempt)
    WHERE j.status = 'running' AND j.worker_id = %(worker)s
    FOR UPDATE OF j SKIP LOCKED
), renewed AS (
    UPDATE jobs_job SET lease_expires_at = now() + make_interval(secs => %(lease_s)s)
    WHERE id = ANY(ARRAY(SELECT id FROM free))
)
SELECT j.id, j.attempt, j.cancel_requested FROM jobs_job j JOIN held USING (id, attempt)
WHERE j.status = 'running' AND j.worker_id = %(worker)s
"""

# A claim whose answer never arrived left rows that carry the worker's name and that it knows nothing of.
HAND_BACK_UNKNOWN = """
WITH held AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::bigint[], %(attempts)s::int[]) AS t(id, attempt)
), moved AS (
    UPDATE jobs_job j SET status = 'queued', lease_expires_at = NULL, queued_at = now()
    WHERE j.status = 'running' AND j.worker_id = %(worker)s
        AND NOT EXISTS (SELECT 1 FROM held WHERE held.id = j.id AND held.attempt = j.attempt)
    RETURNING j.id, j.org_id, j.status
), noted AS (
    INSERT INTO jobs_jobevent (org_id, job_id, old_status, new_status, reason, actor, at)
    SELECT org_id, id, 'running', 'queued', 'handed back: the claim was not heard', 'worker:' || %(worker)s, now()
    FROM moved
)
SELECT id, org_id, status FROM moved
"""

# A finish must not trust what the worker read at claim time: the row is locked first, so that a cancel
# request or a lost lease that came meanwhile is seen. Rows are locked in id order: no deadlock between
# two batches.
FINISH = """
WITH ended AS (
    SELECT * FROM unnest(
        %(ids)s::bigint[], %(attempts)s::int[], %(endings)s::text[], %(runtimes)s::float8[],
        %(results)s::text[], %(errors)s::text[], %(delays)s::float8[]
    ) AS t(id, attempt, ending, runtime_ms, result, error, delay_s)
), held AS MATERIALIZED (
    SELECT j.id, j.org_id, j.type, j.name, j.lane, j.attempt, j.predicted_runtime_ms,
        e.ending, e.runtime_ms, e.result, e.error, e.delay_s,
        greatest(extract(epoch FROM j.started_at - j.queued_at), 0) * 1000 AS wait_ms,
        CASE
            WHEN e.ending = 'done' THEN 'done'
            WHEN e.ending = 'cancelled' OR j.cancel_requested THEN 'cancelled'
            WHEN e.ending = 'released' THEN 'queued'
            WHEN e.delay_s IS NOT NULL AND j.retry_count < j.max_retries THEN 'scheduled'
            ELSE 'failed'
        END AS next_status
    FROM jobs_job j JOIN ended e ON j.id = e.id AND j.attempt = e.attempt
    WHERE j.status = 'running' AND j.worker_id = %(worker)s
    ORDER BY j.id
    FOR UPDATE OF j
), moved AS (
    UPDATE jobs_job j SET
        status = h.next_status,
        lease_expires_at = NULL,
        finished_at = CASE WHEN h.next_status = ANY(%(final)s) THEN now() END,
        result = CASE WHEN h.next_status = 'done' THEN h.result::jsonb END,
        error_msg = CASE h.next_status WHEN 'queued' THEN '' ELSE h.error END,
        retry_count = j.retry_count + (h.next_status = 'scheduled')::int,
        run_at = CASE h.next_status WHEN 'scheduled' THEN now() + make_interval(secs => h.delay_s) ELSE j.run_at END,
        queued_at = CASE h.next_status WHEN 'queued' THEN now() ELSE j.queued_at END
    FROM held h WHERE j.id = h.id
    RETURNING j.id, j.org_id, j.status
), logged AS (
    INSERT INTO jobs_executionlog (org_id, job_id, attempt, outcome, final, runtime_ms, wait_ms,
        predicted_runtime_ms, worker_id, error_msg, job_type, job_name, lane, logged_at)
    SELECT org_id, id, attempt, CASE ending WHEN 'released' THEN 'cancelled' ELSE ending END,
        next_status = ANY(%(final)s), runtime_ms, coalesce(wait_ms, 0),
        predicted_runtime_ms, %(worker)s, error, type, name, lane, now()
    FROM held WHERE next_status <> 'queued'
), noted AS (
    INSERT INTO jobs_jobevent (org_id, job_id, old_status, new_status, reason, actor, at)
    SELECT org_id, id, 'running', next_status,
        left(CASE
            WHEN ending = 'done' THEN 'finished'
            WHEN next_status = 'cancelled' THEN 'stopped on request'
            WHEN next_status = 'queued' THEN 'handed back by its worker'
            WHEN next_status = 'scheduled' THEN ending || ', retry in ' || round(delay_s::numeric, 1) || ' s: ' || error
            ELSE ending || ': ' || error
        END, 200), 'worker:' || %(worker)s, now()
    FROM held
), counted AS (
    UPDATE jobs_worker SET jobs_processed = jobs_processed + (SELECT count(*) FROM held WHERE next_status <> 'queued')
    WHERE worker_id = %(worker)s
)
SELECT id, org_id, status FROM moved
"""

# Reads the partial index job_due.
PROMOTE_DUE = """
WITH due AS MATERIALIZED (
    SELECT id FROM jobs_job WHERE status = 'scheduled' AND run_at <= coalesce(%(now)s, now())
    ORDER BY run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE jobs_job SET status = 'queued', queued_at = coalesce(%(now)s, now())
    WHERE id = ANY(ARRAY(SELECT id FROM due))
    RETURNING id, org_id, status
), noted AS (
    INSERT INTO jobs_jobevent (org_id, job_id, old_status, new_status, reason, actor, at)
    SELECT org_id, id, 'scheduled', 'queued', 'due', %(actor)s, coalesce(%(now)s, now()) FROM moved
)
SELECT id, org_id, status FROM moved
"""

# Reads the partial index job_leases. A lost attempt counts as a failed one, so that a job that kills its
# worker ends as a dead letter and not as a crash loop.
RECLAIM_EXPIRED = """
WITH lost AS MATERIALIZED (
    SELECT id, org_id, type, name, lane, attempt, predicted_runtime_ms, worker_id,
        extract(epoch FROM coalesce(%(now)s, now()) - started_at) * 1000 AS runtime_ms,
        greatest(extract(epoch FROM started_at - queued_at), 0) * 1000 AS wait_ms,
        CASE
            WHEN cancel_requested THEN 'cancelled'
            WHEN retry_count < max_retries THEN 'queued'
            ELSE 'failed'
        END AS next_status,
        'The worker went silent during attempt ' || attempt || ' and lost its lease.' AS error
    FROM jobs_job WHERE status = 'running' AND lease_expires_at < coalesce(%(now)s, now())
    ORDER BY lease_expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE jobs_job j SET
        status = l.next_status,
        lease_expires_at = NULL,
        finished_at = CASE WHEN l.next_status = ANY(%(final)s) THEN coalesce(%(now)s, now()) END,
        error_msg = l.error,
        retry_count = j.retry_count + (l.next_status = 'queued')::int,
        queued_at = CASE l.next_status WHEN 'queued' THEN coalesce(%(now)s, now()) ELSE j.queued_at END
    FROM lost l WHERE j.id = l.id
    RETURNING j.id, j.org_id, j.status
), logged AS (
    INSERT INTO jobs_executionlog (org_id, job_id, attempt, outcome, final, runtime_ms, wait_ms,
        predicted_runtime_ms, worker_id, error_msg, job_type, job_name, lane, logged_at)
    SELECT org_id, id, attempt, 'lost', next_status = ANY(%(final)s), greatest(runtime_ms, 0), coalesce(wait_ms, 0),
        predicted_runtime_ms, worker_id, error, type, name, lane, coalesce(%(now)s, now())
    FROM lost
), noted AS (
    INSERT INTO jobs_jobevent (org_id, job_id, old_status, new_status, reason, actor, at)
    SELECT org_id, id, 'running', next_status, left(error, 200), %(actor)s, coalesce(%(now)s, now()) FROM lost
)
SELECT id, org_id, status FROM moved
"""


def claim(
    *, worker_id: str, types: Sequence[str], limit: int, lease_s: float, now: datetime | None = None
) -> list[Claimed]:
    """Take up to `limit` jobs of these types from the head of the queue, best rank first."""
    rows = _run(
        CLAIM, {"worker": worker_id, "types": list(types), "limit": limit, "lease_s": lease_s, "now": now}
    )
    return [
        Claimed(id, org, name, type_, _loaded(payload), *rest)
        for id, org, name, type_, payload, *rest in rows
    ]


def renew(
    *, worker_id: str, held: Sequence[Held], lease_s: float, status: str = "active"
) -> dict[Held, bool]:
    """Extend the leases of `held` and report the worker alive.

    Answers {(job id, attempt): cancel requested} for those that are still this worker's.
    """
    rows = _run(RENEW, {"worker": worker_id, "lease_s": lease_s, "status": status} | _columns(held))
    return {(job_id, attempt): cancel_requested for job_id, attempt, cancel_requested in rows}


def hand_back_unknown(*, worker_id: str, held: Sequence[Held]) -> list[Moved]:
    """Queue again what this worker is said to run but does not hold. It costs no attempt."""
    return _moved(_run(HAND_BACK_UNKNOWN, {"worker": worker_id} | _columns(held)))


def finish(*, worker_id: str, ended: Sequence[Finish]) -> list[Moved]:
    """Record how attempts ended. Those whose attempt is no longer this worker's are not in the answer."""
    parameters = {
        "worker": worker_id,
        "ids": [one.job_id for one in ended],
        "attempts": [one.attempt for one in ended],
        "endings": [one.ending for one in ended],
        "runtimes": [one.runtime_ms for one in ended],
        "results": [None if one.result is None else json.dumps(one.result) for one in ended],
        "errors": [one.error for one in ended],
        "delays": [one.retry_delay_s for one in ended],
        "final": list(states.FINAL),
    }
    return _moved(_run(FINISH, parameters))


def promote_due(*, actor: str, limit: int = 1000, now: datetime | None = None) -> list[Moved]:
    """Queue up to `limit` scheduled jobs whose time has come."""
    return _moved(_run(PROMOTE_DUE, {"actor": actor, "limit": limit, "now": now}))


def reclaim_expired(*, actor: str, limit: int = 1000, now: datetime | None = None) -> list[Moved]:
    """Take up to `limit` jobs from workers that let their lease run out."""
    return _moved(
        _run(RECLAIM_EXPIRED, {"actor": actor, "limit": limit, "now": now, "final": list(states.FINAL)})
    )


def _run(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()


def _columns(held: Sequence[Held]) -> dict[str, list[int]]:
    return {"ids": [job_id for job_id, _ in held], "attempts": [attempt for _, attempt in held]}


def _moved(rows: Iterable[tuple[Any, ...]]) -> list[Moved]:
    return [Moved(*row) for row in rows]


def _loaded(payload: Any) -> Any:
    # Django registers psycopg to hand jsonb over as text, for its own JSONField decoders.
    return json.loads(payload) if isinstance(payload, str) else payload
