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

from django.conf import settings
from django.db import transaction

from jobs import queue_room
from jobs.coalescing import Message
from jobs.drafts import Draft, FlowKey, Key, Stored, as_row
from jobs.queue_room import QueueFull, Room
from orgs.walls import rows_of

_MOST_TRIES = 10

# Nothing is stored unless every flow is there: they are made in a statement of their own, by `_insert`. Nor where
# an organisation may have only so many jobs waiting and nobody has counted them: see `store`. The
# ids are drawn first, so that the caller can tell which job got which. With keys the rows go in in the order
# of the keys: two batches that share some would else wait for each other in a circle.
STORE = """
WITH flow AS MATERIALIZED (
    SELECT array_agg(flow.id ORDER BY place) AS ids, bool_and(flow.id IS NOT NULL) AS complete,
        %(counted)s OR NOT EXISTS (
            SELECT 1 FROM jobs_limit
            WHERE org_id = ANY(%(orgs)s::bigint[]) AND scope = 'org' AND name = '' AND max_queued IS NOT NULL
        ) AS counted
    FROM unnest(%(orgs)s::bigint[], %(queues)s::text[], %(types)s::text[], %(keys)s::text[])
        WITH ORDINALITY AS wanted(org, queue, type, key, place)
    LEFT JOIN jobs_flow flow
        ON flow.org_id = wanted.org AND flow.queue = wanted.queue AND flow.type = wanted.type AND flow.key = wanted.key
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
    WHERE flow.complete AND flow.counted
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
SELECT flow.complete, flow.counted, clock.at,
    (SELECT array_agg(id ORDER BY id) FROM given), (SELECT array_agg(id) FROM stored),
    (
        SELECT count(pg_notify(channel, content))
        FROM unnest(%(channels)s::text[], %(contents)s::text[]) AS hint(channel, content)
        WHERE EXISTS (SELECT 1 FROM stored)
    )
FROM flow, clock
"""
_STORE_WITH_KEYS = STORE.replace("/* in order */", 'ORDER BY org, key COLLATE "C"')

# With a flow comes the gate of its key: no claim may find the one without the other. Flows first, then gates, each
# in one order, so that two batches wait for each other in no circle.
_ADD_FLOWS = """
WITH wanted AS MATERIALIZED (
    SELECT * FROM unnest(%(orgs)s::bigint[], %(queues)s::text[], %(types)s::text[], %(keys)s::text[])
        AS wanted(org, queue, type, key)
), gated AS (
    INSERT INTO jobs_gate (org_id, scope, name) SELECT DISTINCT org, 'key', key FROM wanted WHERE key <> ''
    ORDER BY org, key
    ON CONFLICT DO NOTHING
)
INSERT INTO jobs_flow (org_id, queue, type, key) SELECT org, queue, type, key FROM wanted
ORDER BY org, queue, type, key
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
    drafts: Sequence[Draft],
    now: datetime | None = None,
    hints: Sequence[Message] = (),
    *,
    whole: bool = False,
    wait: bool = True,
) -> list[Stored]:
    """What stands for each draft, in order; drafts that share a key are answered like repeated requests.

    `hints` are sent with the first jobs that are stored, in the same transaction. Drafts for which their organisation
    has no room are refused, with `whole` all of them when one is. Without `wait`, nothing stands for the drafts of an
    organisation that somebody else submits for at this moment, if it has a limit: ask again.
    """
    found: dict[int, Stored] = {}
    if settings.MAX_QUEUED_PER_ORG or not _store(drafts, found, now, hints):
        with transaction.atomic():
            _find_room(drafts, found, now, whole=whole, wait=wait)
            _store(drafts, found, now, hints, counted=True)
    return [found[place] for place in range(len(drafts))]


def _store(
    drafts: Sequence[Draft],
    found: dict[int, Stored],
    now: datetime | None,
    hints: Sequence[Message],
    *,
    counted: bool = False,
) -> bool:
    """Stores what is not in `found` and adds it there; False when it must be counted first who waits."""
    for _ in range(_MOST_TRIES):
        if places := _to_insert(drafts, found):
            made = _insert(drafts, places, now, hints, counted)
            if made is None:
                return False
            found |= made
            hints = () if made else hints
        if len(found) == len(drafts):
            return True
        found |= _look_up(drafts, [place for place in range(len(drafts)) if place not in found], now)
    raise RuntimeError("The idempotency keys of a batch of jobs changed hands again and again.")


def _find_room(
    drafts: Sequence[Draft], found: dict[int, Stored], now: datetime | None, *, whole: bool, wait: bool
) -> None:
    """Adds to `found` the drafts that cannot be stored now, and those whose key is taken: they need no room."""
    left = [place for place in range(len(drafts)) if place not in found]
    rooms, busy = queue_room.rooms({drafts[place].org_id for place in left}, wait=wait)
    found |= _look_up(drafts, [place for place in left if drafts[place].org_id in rooms], now)
    found |= {place: Stored(None) for place in left if drafts[place].org_id in busy}
    left = [place for place in left if place not in found]
    refused = _without_room(drafts, left, rooms)
    if whole and refused:
        refused = {place: rooms[drafts[place].org_id].too_many(len(left)) for place in left}
    found |= {place: Stored(None, refused=error) for place, error in refused.items()}


def _without_room(
    drafts: Sequence[Draft], places: Sequence[int], rooms: dict[int, Room]
) -> dict[int, QueueFull]:
    """Those that come too late, in order. Drafts with the same key are one job: they are refused together."""
    fits: dict[Key, bool] = {}
    refused = {}
    for place in places:
        room, key = rooms.get(drafts[place].org_id), drafts[place].key
        if room is None:
            continue
        fit = fits[key] if key in fits else room.take()
        if key is not None:
            fits[key] = fit
        if not fit:
            refused[place] = room.full()
    return refused


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
    drafts: Sequence[Draft], places: list[int], now: datetime | None, hints: Sequence[Message], counted: bool
) -> dict[int, Stored] | None:
    """Inserts these drafts; the answer leaves out those whose key is taken. None: there is a limit, count first."""
    flows: dict[FlowKey, int] = {}
    rows = [as_row(drafts[place], flows) for place in places]
    columns = {
        name: [flow[at] for flow in flows] for at, name in enumerate(("orgs", "queues", "types", "keys"))
    }
    parameters = {
        "jobs": json.dumps(rows, ensure_ascii=False),
        "now": now,
        "counted": counted,
        "channels": [channel for channel, _ in hints],
        "contents": [content for _, content in hints],
        **columns,
    }
    statement = _STORE_WITH_KEYS if any("key" in row for row in rows) else STORE
    for _ in range(_MOST_TRIES):
        complete, was_counted, at, ids, stored, _ = rows_of(statement, parameters)[0]
        if not was_counted:
            return None
        if complete:
            made = set(stored or ())
            return {place: Stored(id, at) for place, id in zip(places, ids, strict=True) if id in made}
        rows_of(_ADD_FLOWS, columns)
    raise RuntimeError("The flows of a batch of jobs vanished again and again.")


def _look_up(drafts: Sequence[Draft], places: list[int], now: datetime | None) -> dict[int, Stored]:
    """Answers drafts whose key is taken from its holder; frees expired keys, whose drafts stay unanswered."""
    holders = _holders([key for place in places if (key := drafts[place].key)], now)
    expired = [holder.job_id for holder in holders.values() if holder.expired]
    if expired:
        rows_of(_FREE_KEYS, {"ids": expired})
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
    return {(org_id, key): _Holder(*rest) for org_id, key, *rest in rows_of(_HOLDERS, parameters)}
