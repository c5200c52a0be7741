"""The statements by which the leader moves jobs: what is due, and what silent or dead workers held.

Like `jobs.claims`, each function is one statement in one transaction that guards its edges and writes the
events and execution logs with them. Times come from the database clock; `now` overrides it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from jobs.claimed import Moved
from jobs.gates import LEFT, REOPENED
from orgs.walls import rows_of

# Reads the partial index job_due.
PROMOTE_DUE = """
WITH due AS MATERIALIZED (
    SELECT id FROM jobs_job WHERE status = 'scheduled' AND run_at <= coalesce(%(now)s::timestamptz, now())
    ORDER BY run_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE jobs_job SET status = 'queued', queued_at = coalesce(%(now)s::timestamptz, now()),
        queued_xid = pg_current_xact_id()::text::bigint
    WHERE id = ANY(ARRAY(SELECT id FROM due))
    RETURNING id, org_id, status
), noted AS (
    INSERT INTO jobs_jobevent (org_id, job_id, old_status, new_status, reason, actor, at)
    SELECT org_id, id, 'scheduled', 'queued', 'due', %(actor)s, coalesce(%(now)s::timestamptz, now()) FROM moved
)
SELECT id, org_id, status FROM moved
"""

# A lost attempt counts as a failed one, so that a job that kills its worker ends as a dead letter and not as
# a crash loop. Reads the partial index job_leases.
RECLAIM = f"""
WITH lost AS MATERIALIZED (
    SELECT id, org_id, type, name, lane, attempt, predicted_runtime_ms, predicted_low_ms, predicted_high_ms, worker_id,
        extract(epoch FROM coalesce(%(now)s::timestamptz, now()) - started_at) * 1000 AS runtime_ms,
        greatest(extract(epoch FROM started_at - queued_at), 0) * 1000 AS wait_ms,
        CASE
            WHEN cancel_requested THEN 'cancelled'
            WHEN retry_count < max_retries THEN 'queued'
            ELSE 'failed'
        END AS next_status,
        'The worker ' || %(what)s || ' during attempt ' || attempt || '.' AS error
    FROM jobs_job
    WHERE status = 'running' AND lease_expires_at >= coalesce(
            %(since)s::timestamptz, now() - make_interval(secs => %(age_s)s), '-infinity'
        )
        AND lease_expires_at < coalesce(%(until)s::timestamptz, now())
        AND (%(workers)s::text[] IS NULL OR worker_id = ANY(%(workers)s::text[]))
    ORDER BY lease_expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE jobs_job j SET
        status = l.next_status,
        lease_expires_at = NULL,
        finished_at = CASE WHEN l.next_status IN ('failed', 'cancelled') THEN coalesce(%(now)s::timestamptz, now()) END,
        error_msg = l.error,
        retry_count = j.retry_count + (l.next_status = 'queued')::int,
        queued_at = CASE l.next_status WHEN 'queued' THEN coalesce(%(now)s::timestamptz, now()) ELSE j.queued_at END,
        queued_xid = CASE l.next_status WHEN 'queued' THEN pg_current_xact_id()::text::bigint ELSE j.queued_xid END
    FROM lost l WHERE j.id = l.id
    RETURNING j.id, j.org_id, j.status, j.gates, 'lost' AS ending, l.runtime_ms
), logged AS (
    INSERT INTO jobs_executionlog (org_id, job_id, attempt, outcome, final, runtime_ms, wait_ms,
        predicted_runtime_ms, predicted_low_ms, predicted_high_ms, worker_id, error_msg, job_type, job_name, lane,
        logged_at)
    SELECT org_id, id, attempt, 'lost', next_status <> 'queued', greatest(runtime_ms, 0), coalesce(wait_ms, 0),
        predicted_runtime_ms, predicted_low_ms, predicted_high_ms, worker_id, error, type, name, lane,
        coalesce(%(now)s::timestamptz, now())
    FROM lost
    RETURNING 1
), noted AS (
    INSERT INTO jobs_jobevent (org_id, job_id, old_status, new_status, reason, actor, at)
    SELECT org_id, id, 'running', next_status, left(error, 200), %(actor)s, coalesce(%(now)s::timestamptz, now())
    FROM lost
    RETURNING 1
), {LEFT}
SELECT id, org_id, status, {REOPENED} FROM moved
"""  # noqa: S608 - constants


def promote_due(*, actor: str, limit: int = 1000, now: datetime | None = None) -> list[Moved]:
    """Queue up to `limit` scheduled jobs whose time has come."""
    return _moved(rows_of(PROMOTE_DUE, {"actor": actor, "limit": limit, "now": now}))


def reclaim_expired(
    *, actor: str, limit: int = 1000, since: datetime | None = None, now: datetime | None = None
) -> list[Moved]:
    """Take up to `limit` jobs from workers that let their lease run out, since `since` where that is given."""
    what = "went silent and lost its lease"
    span = {"since": since, "age_s": None, "until": now, "workers": None}
    return _moved(rows_of(RECLAIM, {"actor": actor, "limit": limit, "now": now, "what": what} | span))


def reclaim_from(*, actor: str, workers: Sequence[str], limit: int = 1000) -> list[Moved]:
    """Take up to `limit` jobs from these workers, which are dead, before their leases run out.

    Leases that ran out a while ago are left to `reclaim_expired`: in front of them lie those of all that ever ran.
    """
    span = {"since": None, "age_s": 60.0, "until": datetime.max.replace(tzinfo=UTC), "workers": list(workers)}
    return _moved(rows_of(RECLAIM, {"actor": actor, "limit": limit, "now": None, "what": "died"} | span))


def _moved(rows: Iterable[tuple[Any, ...]]) -> list[Moved]:
    return [Moved(*row) for row in rows]
