"""The one statement that puts jobs into the queue, and who holds an idempotency key.

Called by `jobs.services` only. A batch, of one job or of ten thousand, is one statement that writes the jobs
and their first events: outside a transaction there is nothing to begin or to commit, and half a batch
cannot be. Times come from the database clock; where a function takes `now`, it overrides it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection

from jobs.coalescing import Message
from jobs.drafts import Draft, FlowKey, Key, Stored, as_row

_MOST_TRIES = 10

# Nothing is stored unless every flow is there: they are made in a statement of their own, by `_insert`. The
# ids are drawn first, so that the caller can tell which job got which. With keys the rows go in in the order
# of the keys: two batches that share some would else wait for each other in a circle.
STORE = """
WITH flow AS MATERIALIZED (
    SELECT array_agg(flow.id ORDER BY place) AS ids, bool_and(flow.id IS NOT NULL) AS complete
    FROM unnest(%(orgs)s::bigint[], %(queues)s::text[], %(types)s::text[])
        WITH ORDINALITY AS wanted(org, queue, type, place)
    LEFT JOIN jobs_flow flow
        ON flow.org_id = wanted.org AND flow.queue = wanted.queue AND flow.type = wanted.type
), clock AS MATERIALIZED (
    SELECT coalesce(%(now)s::timestamptz, statement_timestamp()) AS at
), given AS MATERIALIZED (
    SELECT nextval('jobs_job_id_seq') AS id, flow.ids[job.flow] AS flow_id, clock.at,
        greatest(coalesce(job.run_at, clock.at + make_interval(secs => job.delay)), clock.at) AS due, job.*
    FROM flow, clock, json_to_recordset(%(jobs)s::json) AS job(
        org bigint, author bigint, flow int, name text, type text, queue text, payload jsonb, lane text,
        priority float8, head_start float8, predicted float8, low float8, high float8, source text,
        model bigint,
        run_at timestamptz, delay float8, max_retries int, timeout_s float8, soft_timeout_s float8,
        memory_mb int, cpu_s float8, retry jsonb, shares text, tags text[], key text, hash text,
        replay_of bigint
    )
    WHERE flow.complete
), stored AS (
    INSERT INTO jobs_job (
        id, org_id, user_id, flow_id, queue, name, type, payload, lane, status, priority, rank,
        predicted_runtime_ms, predicted_low_ms, predicted_high_ms, prediction_source, model_version,
        created_at, run_at, queued_at, attempt, retry_count, max_retries, timeout_s, soft_timeout_s,
        memory_mb, cpu_s, retry_policy, concurrency_key, tags, cancel_requested, error_msg,
        idempotency_key, request_hash, replay_of_id
    )
    SELECT id, org, author, flow_id, queue, name, type, payload, lane,
        CASE WHEN due <= at THEN 'queued' ELSE 'scheduled' END, priority,
        extract(epoch FROM due)::float8 + head_start,
        predicted, low, high, source, model, at, due, CASE WHEN due <= at THEN at END, 0,
        0, max_retries, timeout_s, soft_timeout_s, memory_mb, cpu_s, retry, shares,
        coalesce(tags, '{}'), false, '', key, coalesce(hash, ''), replay_of
    FROM given /* in order */
    ON CONFLICT (org_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id, org_id, user_id, status, replay_of_id, created_at
), noted AS (
    INSERT INTO jobs_jobevent (org_id, job_id, old_status, new_status, reason, actor, at)
    SELECT org_id, id, '', status,
        CASE WHEN replay_of_id IS NULL THEN 'submitted' ELSE 'submitted as a replay of job ' || replay_of_id END,
        coalesce('user:' || user_id, 'system'), created_at
    FROM stored
)
SELECT flow.complete, clock.at, (SELECT array_agg(id ORDER BY id) FROM given), (SELECT array_agg(id) FROM stored),
    (
        SELECT count(pg_notify(channel, content))
        FROM unnest(%(channels)s::text[], %(contents)s::text[]) AS hint(channel, content)
        WHERE EXISTS (SELECT 1 FROM stored)
    )
FROM flow, clock
"""
_STORE_WITH_KEYS = STORE.replace("/* in order */", 'ORDER BY org, key COLLATE "C"')

_ADD_FLOWS = """
INSERT INTO jobs_flow (org_id, queue, type)
SELECT * FROM unnest(%(orgs)s::bigint[], %(queues)s::text[], %(types)s::text[])
ORDER BY 1, 2, 3
ON CONFLICT DO NOTHING
RETURNING id
"""

_HOLDERS = """
SELECT org_id, idempotency_key, id, request_hash,
    status IN ('done', 'failed', 'cancelled')
        AND created_at < coalesce(%(now)s::timestamptz, statement_timestamp()) - make_interval(secs => %(ttl_s)s)
FROM jobs_job JOIN unnest(%(orgs)s::bigint[], %(keys)s::text[]) AS asked(org, key)
    ON org_id = asked.org AND idempotency_key = asked.key
"""

# Looks again at what it locked: somebody else may have freed the key meanwhile.
_FREE_KEYS = """
WITH expired AS MATERIALIZED (
    SELECT id FROM jobs_job WHERE id = ANY(%(ids)s::bigint[]) AND idempotency_key IS NOT NULL
    ORDER BY id FOR UPDATE
)
UPDATE jobs_job SET idempotency_key = NULL WHERE id = ANY(ARRAY(SELECT id FROM expired))
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class _Holder:
    job_id: int
    request_hash: str
    expired: bool


def store(
    drafts: Sequence[Draft], now: datetime | None = None, hints: Sequence[Message] = ()
) -> list[Stored]:
    """What stands for each draft, in order; drafts that share a key are answered like repeated requests.

    `hints` are sent with the first jobs that are stored, in the same transaction.
    """
    found: dict[int, Stored] = {}
    for _ in range(_MOST_TRIES):
        if places := _to_insert(drafts, found):
            made = _insert(drafts, places, now, hints)
            found |= made
            hints = () if made else hints
        if len(found) == len(drafts):
            return [found[place] for place in range(len(drafts))]
        found |= _look_up(drafts, [place for place in range(len(drafts)) if place not in found], now)
    raise RuntimeError("The idempotency keys of a batch of jobs changed hands again and again.")


def _to_insert(drafts: Sequence[Draft], found: dict[int, Stored]) -> list[int]:
    """Places of the drafts to insert: of those with the same key the first."""
    keys: set[Key] = set()
    places = []
    for place, draft in enumerate(drafts):
        key = draft.key
        if place in found or key in keys:
            continue
        if key is not None:
            keys.add(key)
        places.append(place)
    return places


def _insert(
    drafts: Sequence[Draft], places: list[int], now: datetime | None, hints: Sequence[Message]
) -> dict[int, Stored]:
    """Inserts these drafts; the answer leaves out those whose key is taken."""
    flows: dict[FlowKey, int] = {}
    rows = [as_row(drafts[place], flows) for place in places]
    columns = {name: [flow[at] for flow in flows] for at, name in enumerate(("orgs", "queues", "types"))}
    parameters = {
        "jobs": json.dumps(rows, ensure_ascii=False),
        "now": now,
        "channels": [channel for channel, _ in hints],
        "contents": [content for _, content in hints],
        **columns,
    }
    statement = _STORE_WITH_KEYS if any("key" in row for row in rows) else STORE
    for _ in range(_MOST_TRIES):
        complete, at, ids, stored, _ = _run(statement, parameters)[0]
        if complete:
            made = set(stored or ())
            return {place: Stored(id, at) for place, id in zip(places, ids, strict=True) if id in made}
        _run(_ADD_FLOWS, columns)
    raise RuntimeError("The flows of a batch of jobs vanished again and again.")


def _look_up(drafts: Sequence[Draft], places: list[int], now: datetime | None) -> dict[int, Stored]:
    """Answers drafts whose key is taken from its holder; frees expired keys, whose drafts stay unanswered."""
    holders = _holders([key for place in places if (key := drafts[place].key)], now)
    expired = [holder.job_id for holder in holders.values() if holder.expired]
    if expired:
        _run(_FREE_KEYS, {"ids": expired})
    found = {}
    for place in places:
        draft = drafts[place]
        holder = holders.get(draft.key) if draft.key else None
        if holder is not None and not holder.expired:
            found[place] = Stored(holder.job_id, same=holder.request_hash == draft.request_hash)
    return found


def _holders(keys: list[Key], now: datetime | None) -> dict[Key, _Holder]:
    parameters = {
        "orgs": [org_id for org_id, _ in keys],
        "keys": [key for _, key in keys],
        "now": now,
        "ttl_s": settings.IDEMPOTENCY_TTL_H * 3600.0,
    }
    return {(org_id, key): _Holder(*rest) for org_id, key, *rest in _run(_HOLDERS, parameters)}


def _run(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
