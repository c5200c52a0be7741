"""What a worker says of the jobs that it holds: that it still does, and how they ended.

Like `jobs.claims`, each function is one statement in one transaction that takes an edge of `jobs.states` only where the
row still stands where the caller believes it to be, and writes the event and execution log with it. A job that ends
leaves the gates that its attempt counts in (`Job.gates`) in the same statement.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from jobs.claimed import Finish, Held, Moved, Renewed
from jobs.gates import LEFT, REOPENED
from orgs.walls import rows_of

# One statement renews the leases, reports the worker alive and fetches cancel requests. A job that is
# missing from the answer was taken away: its worker must stop it. A row that somebody else holds is left
# for the next time, so that it cannot cost the others their leases; whose it is, is read without a lock.
RENEW = """
WITH beat AS (
    UPDATE jobs_worker SET last_seen = now(), running = cardinality(%(ids)s::bigint[]), status = %(status)s,
        jobs_processed = jobs_processed + %(processed)s
    WHERE worker_id = %(worker)s
    RETURNING wanted
), held AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::bigint[], %(attempts)s::int[]) AS t(id, attempt)
), free AS MATERIALIZED (
    SELECT j.id FROM jobs_job j JOIN held USING (id, attempt)
    WHERE j.lease_expires_at IS NOT NULL AND j.worker_id = %(worker)s
    FOR UPDATE OF j SKIP LOCKED
), renewed AS (
    UPDATE jobs_job SET lease_expires_at = now() + make_interval(secs => %(lease_s)s)
    WHERE id = ANY(ARRAY(SELECT id FROM free))
)
SELECT j.id, j.attempt, j.cancel_requested, NULL AS wanted FROM jobs_job j JOIN held USING (id, attempt)
WHERE j.lease_expires_at IS NOT NULL AND j.worker_id = %(worker)s
UNION ALL
SELECT NULL, NULL, NULL, wanted FROM beat
"""

# A claim whose answer never arrived left rows that carry the worker's name and that it knows nothing of.
UNKNOWN = """
SELECT id, attempt FROM jobs_job j
WHERE status = 'running' AND worker_id = %(worker)s
    AND NOT EXISTS (
        SELECT 1 FROM unnest(%(ids)s::bigint[], %(attempts)s::int[]) AS held(id, attempt)
        WHERE held.id = j.id AND held.attempt = j.attempt
    )
"""

NEXT_STATUS = """CASE
    WHEN e.ending = 'done' THEN 'done'
    WHEN e.ending = 'cancelled' OR j.cancel_requested THEN 'cancelled'
    WHEN e.ending = 'released' THEN 'queued'
    WHEN e.ending = 'snoozed' THEN 'scheduled'
    WHEN e.delay_s IS NOT NULL AND j.retry_count < j.max_retries THEN 'scheduled'
    ELSE 'failed'
END"""

# A finish must not trust what the worker read at claim time: the UPDATE sees, and where it had to wait
# sees again, a cancel request or a lost lease that came meanwhile. `lease_expires_at IS NOT NULL` says
# running by a constraint, and offers the planner no index but the primary key. No deadlock between two
# batches: a row belongs to one worker, and everybody else takes one row or skips locked ones.
FINISH = f"""
WITH ended AS MATERIALIZED (
    SELECT id, attempt, ending, runtime_ms, result, coalesce(error, '') AS error, delay_s
    FROM unnest(
        %(ids)s::bigint[], %(attempts)s::int[], %(endings)s::text[], %(runtimes)s::float8[],
        %(results)s::text[], %(errors)s::text[], %(delays)s::float8[]
    ) AS t(id, attempt, ending, runtime_ms, result, error, delay_s)
), moved AS (
    UPDATE jobs_job j SET
        status = {NEXT_STATUS},
        lease_expires_at = NULL,
        finished_at = CASE WHEN {NEXT_STATUS} IN ('done', 'failed', 'cancelled') THEN now() END,
        result = CASE e.ending WHEN 'done' THEN e.result::jsonb END,
        error_msg = CASE e.ending WHEN 'released' THEN '' ELSE e.error END,
        retry_count = j.retry_count + (e.ending <> 'snoozed' AND {NEXT_STATUS} = 'scheduled')::int,
        run_at = CASE WHEN {NEXT_STATUS} = 'scheduled' THEN now() + make_interval(secs => e.delay_s)
            ELSE j.run_at END,
        queued_at = CASE WHEN {NEXT_STATUS} = 'queued' THEN now() ELSE j.queued_at END,
        queued_xid = CASE WHEN {NEXT_STATUS} = 'queued' THEN pg_current_xact_id()::text::bigint
            ELSE j.queued_xid END
    FROM ended e
    WHERE j.id = e.id AND j.attempt = e.attempt
        AND j.lease_expires_at IS NOT NULL AND j.worker_id = %(worker)s
    RETURNING j.id, j.org_id, j.status, j.type, j.name, j.lane, j.attempt, j.predicted_runtime_ms,
        j.predicted_low_ms, j.predicted_high_ms, j.started_at, j.queued_at, j.gates, e.ending, e.runtime_ms,
        e.error, e.delay_s
), logged AS (
    INSERT INTO jobs_executionlog (org_id, job_id, attempt, outcome, final, runtime_ms, wait_ms,
        predicted_runtime_ms, predicted_low_ms, predicted_high_ms, worker_id, error_msg, job_type, job_name, lane,
        logged_at)
    SELECT org_id, id, attempt, CASE WHEN ending IN ('released', 'snoozed') THEN 'cancelled' ELSE ending END,
        status <> 'scheduled', runtime_ms,
        coalesce(greatest(extract(epoch FROM started_at - queued_at), 0) * 1000, 0),
        predicted_runtime_ms, predicted_low_ms, predicted_high_ms, %(worker)s, error, type, name, lane, now()
    FROM moved WHERE status <> 'queued' AND NOT (ending = 'snoozed' AND status = 'scheduled')
    RETURNING 1
), noted AS (
    INSERT INTO jobs_jobevent (org_id, job_id, old_status, new_status, reason, actor, at)
    SELECT org_id, id, 'running', status,
        left(CASE
            WHEN ending = 'done' THEN 'finished'
            WHEN status = 'cancelled' THEN 'stopped on request'
            WHEN status = 'queued' THEN 'handed back by its worker'
            WHEN ending = 'snoozed' THEN 'snoozed for ' || round(delay_s::numeric, 1) || ' s'
            WHEN status = 'scheduled' THEN ending || ', retry in ' || round(delay_s::numeric, 1) || ' s: ' || error
            ELSE ending || ': ' || error
        END, 200), 'worker:' || %(worker)s, now()
    FROM moved
    RETURNING 1
), {LEFT}
SELECT id, org_id, status, {REOPENED} FROM moved
"""  # noqa: S608 - constants


def renew(
    *, worker_id: str, held: Sequence[Held], lease_s: float, status: str = "active", processed: int = 0
) -> Renewed:
    """Extend the leases of `held` and report the worker alive, with `processed` attempts ended since last time."""
    parameters = {"worker": worker_id, "lease_s": lease_s, "status": status, "processed": processed}
    rows = rows_of(RENEW, parameters | _columns(held))
    mine = {(job, attempt): cancel for job, attempt, cancel, wanted in rows if wanted is None}
    return Renewed(mine, next((wanted for *_, wanted in rows if wanted is not None), "run"))


def hand_back_unknown(*, worker_id: str, held: Sequence[Held]) -> list[Moved]:
    """Release what this worker is said to run but does not hold. It costs no attempt."""
    unknown = rows_of(UNKNOWN, {"worker": worker_id} | _columns(held))
    return finish(worker_id=worker_id, ended=[Finish(job, attempt, "released") for job, attempt in unknown])


def finish(*, worker_id: str, ended: Sequence[Finish]) -> list[Moved]:
    """Record how attempts ended. Those whose attempt is no longer this worker's are not in the answer."""
    job_ids, attempts, endings, runtimes, results, errors, delays = (
        zip(*ended, strict=True) if ended else [()] * 7
    )
    parameters = {
        "worker": worker_id,
        "ids": _numbers(job_ids),
        "attempts": _numbers(attempts),
        "endings": list(endings),
        "runtimes": _numbers(runtimes),
        "results": _unless_empty([None if one is None else json.dumps(one) for one in results]),
        "errors": _unless_empty(errors),
        "delays": _unless_empty(delays),
    }
    return _moved(rows_of(FINISH, parameters))


def _numbers(values: Iterable[float]) -> str:
    """An array as PostgreSQL reads it: cheaper than having each number looked at for its type."""
    return "{" + ",".join(map(str, values)) + "}"


def _unless_empty(values: Sequence[Any]) -> list[Any]:
    """Where no attempt has any, nothing is sent: `unnest` fills up with NULL."""
    return list(values) if any(value not in (None, "") for value in values) else []


def _columns(held: Sequence[Held]) -> dict[str, list[int]]:
    return {"ids": [job_id for job_id, _ in held], "attempts": [attempt for _, attempt in held]}


def _moved(rows: Iterable[tuple[Any, ...]]) -> list[Moved]:
    return [Moved(*row) for row in rows]
