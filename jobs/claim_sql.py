"""The statements of `jobs.claims`: LOOK, and CLAIM in two forms. No others take from the queue.

CLAIM is for several organisations and for limits. PLAIN is for jobs of one organisation that nothing limits, and
cheaper; where it finds that there is more to it, it takes nothing, and the next claim is a CLAIM. Both answer alike.
"""

from __future__ import annotations

# From one flow to the next through the index: as many steps as there are flows with work.
LOOK = """
WITH RECURSIVE head AS (
    (
        SELECT flow_id, rank FROM jobs_job WHERE status = 'queued' AND rank > '-infinity'
        ORDER BY flow_id, rank, id LIMIT 1
    )
    UNION ALL
    SELECT following.flow_id, following.rank FROM head, LATERAL (
        SELECT flow_id, rank FROM jobs_job
        WHERE status = 'queued' AND rank > '-infinity' AND flow_id > head.flow_id
        ORDER BY flow_id, rank, id LIMIT 1
    ) following
)
SELECT flow.id, flow.org_id, flow.queue, org.weight, head.rank, NULL AS snapshot
FROM head
    JOIN jobs_flow flow ON flow.id = head.flow_id
    JOIN orgs_organization org ON org.id = flow.org_id
WHERE flow.type = ANY(%(types)s::text[]) AND (%(queues)s::text[] IS NULL OR flow.queue = ANY(%(queues)s::text[]))
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, pg_current_snapshot()::text
"""

# `arrived`: flows with jobs that were queued since the last look (by numbers that this server has given out: a restored
# dump brings those of another). `alive`: the flows to look at, with the first live job, which is where the memory
# begins next time.
_FLOWS = """
WITH arrived AS MATERIALIZED (
    SELECT newest.flow_id, flow.org_id, flow.queue, newest.floor
    FROM (
        SELECT flow_id, min(rank) AS floor FROM (
            SELECT flow_id, rank FROM jobs_job
            WHERE status = 'queued' AND queued_xid >= %(xmax)s::bigint
                AND queued_xid < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
            UNION ALL
            SELECT flow_id, rank FROM jobs_job WHERE status = 'queued' AND queued_xid = ANY(%(unfinished)s::bigint[])
        ) queued
        GROUP BY flow_id
    ) newest,
        LATERAL (
            SELECT org_id, queue FROM jobs_flow
            WHERE id = newest.flow_id AND type = ANY(%(types)s::text[])
                AND (%(queues)s::text[] IS NULL OR queue = ANY(%(queues)s::text[]))
            LIMIT 1
        ) flow
), looked AS MATERIALIZED (
    SELECT flow_id, min(floor) AS floor
    FROM (
        SELECT * FROM unnest(%(flows)s::bigint[], %(floors)s::float8[]) AS t(flow_id, floor)
        UNION ALL
        SELECT flow_id, floor FROM arrived WHERE flow_id = ANY(%(flows)s::bigint[])
        UNION ALL
        (
            SELECT flow_id, floor FROM arrived
            WHERE NOT flow_id = ANY(%(flows)s::bigint[]) AND NOT flow_id = ANY(%(others)s::bigint[])
            ORDER BY floor LIMIT %(most_flows)s
        )
    ) known
    GROUP BY flow_id
), alive AS MATERIALIZED (
    SELECT looked.flow_id, flow.org_id, flow.queue, flow.type, flow.key, org.weight, head.rank AS floor,
        coalesce(
            (SELECT place FROM unnest(%(orgs)s::bigint[], %(places)s::float8[]) AS t(org_id, place)
             WHERE t.org_id = flow.org_id LIMIT 1),
            %(present)s
        ) AS place
    FROM looked,
        LATERAL (SELECT org_id, queue, type, key FROM jobs_flow WHERE id = looked.flow_id LIMIT 1) flow,
        LATERAL (SELECT weight FROM orgs_organization WHERE id = flow.org_id LIMIT 1) org,
        LATERAL (
            SELECT rank FROM jobs_job
            WHERE status = 'queued' AND rank > '-infinity' AND flow_id = looked.flow_id AND rank >= looked.floor
            ORDER BY rank, id LIMIT 1
        ) head
), unpaused AS MATERIALIZED (
    SELECT * FROM alive
    WHERE NOT EXISTS (
        SELECT 1 FROM jobs_pause pause
        WHERE (pause.org_id IS NULL OR pause.org_id = alive.org_id)
            AND (pause.queue IS NULL OR pause.queue = alive.queue)
            AND (pause.type IS NULL OR pause.type = alive.type)
    )
"""

# `gate`: the counters of their limits, locked, and so the newest there are; whom somebody else has locked is left for
# the next time. `room`: how many jobs each lets in now.
_LIMITS = """), via AS MATERIALIZED (
    SELECT unpaused.flow_id, gate.id AS gate_id
    FROM unpaused, LATERAL (
        SELECT id FROM jobs_gate WHERE org_id = unpaused.org_id AND scope = 'org' AND name = ''
        UNION ALL
        SELECT id FROM jobs_gate WHERE org_id = unpaused.org_id AND scope = 'queue' AND name = unpaused.queue
        UNION ALL
        SELECT id FROM jobs_gate
        WHERE unpaused.key <> '' AND org_id = unpaused.org_id AND scope = 'key' AND name = unpaused.key
    ) gate
), gate AS MATERIALIZED (
    SELECT id, org_id, scope, name, running, tokens, tokens_at, waiting FROM jobs_gate
    WHERE id = ANY(ARRAY(SELECT gate_id FROM via))
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
), metered AS MATERIALIZED (
    SELECT gate.id, gate.scope, gate.running, gate.waiting, gate.tokens_at,
        rule.rate_count / rule.rate_period_s AS per_s,
        CASE WHEN rule.id IS NULL AND gate.scope = 'key' THEN 1 ELSE rule.max_running END AS max_running,
        least(rule.rate_count, coalesce(gate.tokens + greatest(extract(epoch FROM
            coalesce(%(now)s::timestamptz, now()) - gate.tokens_at)::float8, 0) * rule.rate_count / rule.rate_period_s,
            rule.rate_count)) AS tokens
    FROM gate LEFT JOIN LATERAL (
        SELECT id, max_running, rate_count, rate_period_s FROM jobs_limit
        WHERE org_id = gate.org_id AND scope = gate.scope
            AND (name = gate.name OR (gate.scope = 'key' AND name = '*'))
        ORDER BY name = gate.name DESC LIMIT 1
    ) rule ON true
), room AS MATERIALIZED (
    SELECT *, least(CASE WHEN max_running > running THEN max_running - running WHEN max_running IS NOT NULL THEN 0 END,
            floor(tokens + 1e-9))::bigint AS jobs,
        CASE WHEN max_running IS NULL OR running < max_running THEN (1 - tokens) / per_s END AS opens_in_s
    FROM metered
), state AS MATERIALIZED (
    SELECT unpaused.*, limited.*
    FROM unpaused LEFT JOIN LATERAL (
        SELECT array_agg(via.gate_id) AS gates, min(room.jobs) AS room, bool_or(room.id IS NULL) AS busy,
            min(room.jobs) FILTER (WHERE room.scope = 'org') AS org_room,
            min(room.jobs) FILTER (WHERE room.scope = 'queue') AS queue_room,
            min(room.jobs) FILTER (WHERE room.scope = 'key') AS key_room,
            (array_agg(room.id ORDER BY room.scope = 'org' DESC, room.scope = 'queue' DESC)
            FILTER (WHERE room.jobs < 1))[1] AS closed_by
        FROM via LEFT JOIN room ON room.id = via.gate_id
        WHERE via.flow_id = unpaused.flow_id
    ) limited ON true
), open AS MATERIALIZED (
    SELECT * FROM state
    WHERE coalesce(room, 1) >= 1 AND NOT coalesce(busy, false)
        AND NOT EXISTS (SELECT 1 FROM jobs_worker WHERE worker_id = %(worker)s AND wanted <> 'run')
"""

# Whose turn it is among the first jobs of the open flows, by the places of their organisations (jobs.fairness) and
# their ranks, numbered so that no limit that several flows share is passed; and how many of them are in which flow, so
# that no more rows are locked than are wanted.
_TURNS = """), share AS MATERIALIZED (
    SELECT flow_id, floor, count(*) AS jobs
    FROM (
        SELECT flow_id, floor FROM (
            SELECT open.flow_id, open.floor, open.org_room, open.queue_room, open.key_room, job.rank, job.id,
                open.place + (sum(job.charge) OVER of_org - job.charge) / open.weight AS turn,
                row_number() OVER of_org AS of_org,
                row_number() OVER (PARTITION BY open.org_id, open.queue ORDER BY job.rank, job.id) AS of_queue,
                row_number() OVER (PARTITION BY open.org_id, open.key ORDER BY job.rank, job.id) AS of_key
            FROM open, LATERAL (
                SELECT id, rank, coalesce(predicted_runtime_ms, 3000) / 1000 AS charge FROM jobs_job
                WHERE status = 'queued' AND rank > '-infinity' AND flow_id = open.flow_id AND rank >= open.floor
                ORDER BY rank, id LIMIT least(%(limit)s, %(quota)s, open.room)
            ) job
            WINDOW of_org AS (PARTITION BY open.org_id ORDER BY job.rank, job.id ROWS UNBOUNDED PRECEDING)
        ) numbered
        WHERE of_org <= coalesce(org_room, of_org) AND of_queue <= coalesce(queue_room, of_queue)
            AND of_key <= coalesce(key_room, of_key)
        ORDER BY turn, rank, id LIMIT %(limit)s
    ) best
    GROUP BY flow_id, floor
"""

_NO_LIMITS = """), judged AS MATERIALIZED (
    SELECT *,
        EXISTS (SELECT 1 FROM jobs_gate WHERE org_id = unpaused.org_id AND scope = 'org' AND name = '')
            OR EXISTS (SELECT 1 FROM jobs_gate
                WHERE org_id = unpaused.org_id AND scope = 'queue' AND name = unpaused.queue)
            OR unpaused.key <> '' AS limited
    FROM unpaused
), open AS MATERIALIZED (
    SELECT * FROM judged
    WHERE NOT EXISTS (SELECT 1 FROM judged WHERE limited OR org_id <> (%(orgs)s::bigint[])[1])
        AND NOT EXISTS (SELECT 1 FROM jobs_worker WHERE worker_id = %(worker)s AND wanted <> 'run')
"""

_RANKS = """), share AS MATERIALIZED (
    SELECT flow_id, floor, count(*) AS jobs
    FROM (
        SELECT open.flow_id, open.floor
        FROM open, LATERAL (
            SELECT id, rank FROM jobs_job
            WHERE status = 'queued' AND rank > '-infinity' AND flow_id = open.flow_id AND rank >= open.floor
            ORDER BY rank, id LIMIT least(%(limit)s, %(quota)s)
        ) job
        ORDER BY job.rank, job.id LIMIT %(limit)s
    ) best
    GROUP BY flow_id, floor
"""

# The LIMIT and the lock stay inside a MATERIALIZED CTE: inlined, a nested loop may run the subquery again and update
# more rows than asked for.
_TAKE = """), picked AS MATERIALIZED (
    SELECT job.id, share.flow_id FROM share,
        LATERAL (
            SELECT id, rank FROM jobs_job
            WHERE status = 'queued' AND rank > '-infinity' AND flow_id = share.flow_id AND rank >= share.floor
            ORDER BY rank, id LIMIT share.jobs FOR UPDATE SKIP LOCKED
        ) job
    ORDER BY job.rank, job.id LIMIT %(limit)s
{GATED}), claimed AS (
    UPDATE jobs_job SET
        status = 'running', attempt = attempt + 1, worker_id = %(worker)s,
        started_at = coalesce(%(now)s::timestamptz, now()),
        lease_expires_at = coalesce(%(now)s::timestamptz, now()) + make_interval(secs => %(lease_s)s),
        gates = {GATES}
    WHERE id = ANY(ARRAY(SELECT id FROM picked))
    RETURNING id, org_id, user_id, name, type, queue, payload, attempt, retry_count, max_retries, timeout_s,
        soft_timeout_s, memory_mb, cpu_s, retry_policy, predicted_runtime_ms, rank, gates,
        (greatest(extract(epoch FROM started_at - queued_at), 0) * 1000)::float8 AS wait_ms
), noted AS (
    INSERT INTO jobs_jobevent (org_id, job_id, old_status, new_status, reason, actor, at)
    SELECT org_id, id, 'queued', 'running', 'claimed, attempt ' || attempt, 'worker:' || %(worker)s,
        coalesce(%(now)s::timestamptz, now())
    FROM claimed
"""

_GATED = """), gated AS MATERIALIZED (
    SELECT flow_id, gates FROM open WHERE gates IS NOT NULL
"""
_GATES = "(SELECT gated.gates FROM gated WHERE gated.flow_id = jobs_job.flow_id)"

_COUNT = """), counted AS (
    UPDATE jobs_gate SET running = room.running + change.jobs, tokens = room.tokens - change.jobs,
        tokens_at = greatest(room.tokens_at, coalesce(%(now)s::timestamptz, now())),
        waiting = room.waiting OR change.closing
    FROM room, LATERAL (
        SELECT (SELECT count(*) FROM claimed WHERE room.id = ANY(claimed.gates)) AS jobs,
            room.opens_in_s IS NULL AND EXISTS (SELECT 1 FROM state WHERE state.closed_by = room.id) AS closing
    ) change
    WHERE jobs_gate.id = room.id AND (change.jobs > 0 OR (change.closing AND NOT room.waiting))
"""

# Closed with a flow is all of its organisation or queue where a limit of these, or a pause of all types, closes it.
_CLOSES = """CASE
            WHEN {judged}.flow_id IS NOT NULL THEN {limit}
            WHEN EXISTS (
                SELECT 1 FROM jobs_pause
                WHERE type IS NULL AND queue IS NULL AND coalesce(org_id, alive.org_id) = alive.org_id
            ) THEN 'org'
            WHEN EXISTS (
                SELECT 1 FROM jobs_pause
                WHERE type IS NULL AND queue = alive.queue AND coalesce(org_id, alive.org_id) = alive.org_id
            ) THEN 'queue'
            ELSE 'flow'
        END"""
_OF_GATE = "replace(room.scope, 'key', 'flow')"
_SHORT = """coalesce((SELECT share.jobs FROM share WHERE share.flow_id = alive.flow_id)
            > (SELECT count(*) FROM picked WHERE picked.flow_id = alive.flow_id), false)"""

_SEEN = """), answer AS (
    SELECT
        coalesce(array_agg(alive.flow_id), '{}') AS flows, coalesce(array_agg(alive.org_id), '{}') AS orgs,
        coalesce(array_agg(alive.queue), '{}') AS queues, coalesce(array_agg(alive.weight), '{}') AS weights,
        coalesce(array_agg(alive.floor), '{}') AS floors,
"""

_STATES = (
    _SEEN
    + f"""        coalesce(array_agg(CASE WHEN state.flow_id IS NULL THEN 'paused' WHEN state.room < 1 THEN 'closed'
            WHEN state.busy OR {_SHORT} THEN 'busy'
            WHEN state.gates IS NOT NULL THEN 'limited' ELSE 'open' END), '{{}}') AS states,
        coalesce(array_agg(state.closed_by), '{{}}') AS closed_by,
        coalesce(array_agg({_CLOSES.format(judged="state", limit=_OF_GATE)}), '{{}}') AS closes,
        coalesce(array_agg(room.opens_in_s), '{{}}') AS opens_in
    FROM alive LEFT JOIN state ON state.flow_id = alive.flow_id LEFT JOIN room ON room.id = state.closed_by
"""
)

_NO_STATES = (
    _SEEN
    + f"""        coalesce(array_agg(CASE WHEN judged.flow_id IS NULL THEN 'paused' WHEN judged.limited THEN 'limited'
            WHEN {_SHORT} THEN 'busy' ELSE 'open' END), '{{}}') AS states,
        coalesce(array_agg(NULL::bigint), '{{}}') AS closed_by,
        coalesce(array_agg({_CLOSES.format(judged="judged", limit="NULL")}), '{{}}') AS closes,
        coalesce(array_agg(NULL::float8), '{{}}') AS opens_in
    FROM alive LEFT JOIN judged ON judged.flow_id = alive.flow_id
"""
)

_ANSWER = """)
SELECT rank, id, org_id, user_id, name, type, queue, payload, attempt, retry_count, max_retries, timeout_s,
    soft_timeout_s, memory_mb, cpu_s, retry_policy, predicted_runtime_ms, wait_ms,
    NULL::bigint[] AS flows, NULL::bigint[] AS orgs, NULL::text[] AS queues, NULL::float8[] AS weights,
    NULL::float8[] AS floors, NULL::text[] AS states, NULL::bigint[] AS closed_by, NULL::text[] AS closes,
    NULL::float8[] AS opens_in,
    NULL::bigint[] AS new_flows, NULL::bigint[] AS new_orgs, NULL::text[] AS new_queues, NULL::float8[] AS new_floors,
    NULL::bigint[] AS opened, NULL AS snapshot
FROM claimed
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    flows, orgs, queues, weights, floors, states, closed_by, closes, opens_in,
    ARRAY(SELECT flow_id FROM arrived ORDER BY flow_id), ARRAY(SELECT org_id FROM arrived ORDER BY flow_id),
    ARRAY(SELECT queue FROM arrived ORDER BY flow_id), ARRAY(SELECT floor FROM arrived ORDER BY flow_id),
    ARRAY(
        SELECT gate_id FROM jobs_gateopening
        WHERE xid >= %(xmax)s::bigint AND xid < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
        UNION
        SELECT gate_id FROM jobs_gateopening WHERE xid = ANY(%(unfinished)s::bigint[])
    ),
    pg_current_snapshot()::text
FROM answer
ORDER BY rank, id
"""


def _whole(*parts: str, gated: str, gates: str) -> str:
    return "".join(parts).replace("{GATED}", gated).replace("{GATES}", gates)


CLAIM = _whole(_FLOWS, _LIMITS, _TURNS, _TAKE, _COUNT, _STATES, _ANSWER, gated=_GATED, gates=_GATES)
PLAIN = _whole(_FLOWS, _NO_LIMITS, _RANKS, _TAKE, _NO_STATES, _ANSWER, gated="", gates="NULL")
