"""How a statement that ends attempts takes them out of the gates that they count in. Parts of SQL, no statement.

For `jobs.leases` and `jobs.reclaims`, whose CTE `moved` has the columns `gates`, `ending` and `runtime_ms`. Everybody
locks jobs before gates, and gates in the order of their ids; a claim, which begins with the gates, waits for nobody. So
nobody waits in a circle.
"""

from __future__ import annotations

# Gates come last, after all that takes time, because claims leave out what is locked. What was handed back before it
# began has its tokens back: it was claimed ahead, and others may have them. Whoever was turned away looks at the gate
# again, told by the number of this transaction.
LEFT = """freed AS MATERIALIZED (
    SELECT gate_id, count(*) AS jobs,
        count(*) FILTER (WHERE moved.ending = 'released' AND moved.runtime_ms = 0) AS unused
    FROM moved, unnest(moved.gates) AS t(gate_id)
    WHERE (SELECT count(*) FROM logged) + (SELECT count(*) FROM noted) >= 0
    GROUP BY gate_id
), held AS MATERIALIZED (
    SELECT jobs_gate.id, jobs_gate.waiting OR freed.unused > 0 AS opens, freed.jobs, freed.unused
    FROM jobs_gate JOIN freed ON freed.gate_id = jobs_gate.id
    ORDER BY jobs_gate.id FOR NO KEY UPDATE OF jobs_gate
), passed AS (
    UPDATE jobs_gate SET running = greatest(running - held.jobs, 0), tokens = tokens + held.unused, waiting = false
    FROM held WHERE jobs_gate.id = held.id
), opened AS (
    INSERT INTO jobs_gateopening (gate_id, xid, at)
    SELECT id, pg_current_xact_id()::text::bigint, now() FROM held WHERE opens
)"""
REOPENED = "EXISTS (SELECT 1 FROM held WHERE opens)"
