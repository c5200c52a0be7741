"""What gates count, put right: for a gate that is new, and where a count has drifted. And the openings that tell of it.

A claim or an ending changes a job's `gates` and the counts of these gates in one transaction, so one snapshot tells
which counts are wrong. They are corrected under the lock of their gate, which claims and endings need too. Everybody
locks jobs before gates; whoever locks jobs of several workers leaves out those that are locked. Called by
`jobs.limits`, `jobs.control` and the leader.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from django.db import connection, transaction

from jobs import notify
from jobs.limit_models import GateOpening
from jobs.transactions import CurrentTransaction
from orgs.walls import rows_of

UNCOUNTED = 1_000_000_000  # Gate.running until what runs has been counted: nothing is let in

_CLAIMS_END_S = 2.0
_TURN_S = 0.01
_MOST_TURNS = 50

# Each entry of an index of leases that a renewal or an ending left behind is read until vacuum removes it: nobody who
# is alive has a lease that ended `age_s` ago. NULL: all.
_RUNNING = """
    status = 'running' AND lease_expires_at > coalesce(now() - make_interval(secs => %(age_s)s), '-infinity')
"""

# Jobs that run and do not count in a gate that they belong to: the gate came after their claim.
_JOIN = f"""
WITH missing AS MATERIALIZED (
    SELECT job.id AS job_id, gate.id AS gate_id
    FROM jobs_job job, LATERAL (
        SELECT id FROM jobs_gate WHERE org_id = job.org_id AND scope = 'org' AND name = ''
        UNION ALL
        SELECT id FROM jobs_gate WHERE org_id = job.org_id AND scope = 'queue' AND name = job.queue
        UNION ALL
        SELECT id FROM jobs_gate WHERE org_id = job.org_id AND scope = 'key' AND name = job.concurrency_key
    ) gate
    WHERE {_RUNNING} AND (%(gate)s::bigint IS NULL OR gate.id = %(gate)s)
        AND NOT coalesce(gate.id = ANY(job.gates), false)
), free AS MATERIALIZED (
    SELECT id FROM jobs_job WHERE id = ANY(ARRAY(SELECT job_id FROM missing)) AND status = 'running'
    FOR NO KEY UPDATE SKIP LOCKED
), joined AS (
    UPDATE jobs_job SET gates = coalesce(gates, '{{}}')
        || ARRAY(SELECT gate_id FROM missing WHERE job_id = jobs_job.id AND NOT gate_id = ANY(coalesce(gates, '{{}}')))
    WHERE id = ANY(ARRAY(SELECT id FROM free))
    RETURNING id
)
SELECT (SELECT count(*) FROM joined), (SELECT count(DISTINCT job_id) FROM missing)
"""  # noqa: S608 - constants

_COUNTED = f"""
    SELECT gate_id, count(*)::int AS jobs FROM jobs_job, unnest(gates) AS t(gate_id)
    WHERE {_RUNNING}
    GROUP BY gate_id
"""  # noqa: S608 - constants

_WRONG = f"""
WITH counted AS MATERIALIZED ({_COUNTED})
SELECT gate.id FROM jobs_gate gate LEFT JOIN counted ON counted.gate_id = gate.id
WHERE gate.running <> coalesce(counted.jobs, 0)
LIMIT %(most)s
"""  # noqa: S608 - constants

_HOLD = "SELECT id FROM jobs_gate WHERE id = ANY(%(gates)s::bigint[]) ORDER BY id FOR NO KEY UPDATE"

_CORRECT = f"""
WITH counted AS MATERIALIZED ({_COUNTED}), found AS MATERIALIZED (
    SELECT gate.id, gate.running, coalesce(counted.jobs, 0) AS jobs
    FROM jobs_gate gate LEFT JOIN counted ON counted.gate_id = gate.id
    WHERE gate.id = ANY(%(gates)s::bigint[])
)
UPDATE jobs_gate SET running = found.jobs FROM found
WHERE jobs_gate.id = found.id AND found.running <> found.jobs
RETURNING jobs_gate.id, jobs_gate.org_id, jobs_gate.scope, found.running, found.jobs
"""  # noqa: S608 - constants

# Whoever was claiming, ending or submitting when it was asked: by their virtual transactions.
_WRITING = """
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'relation' AND relation = 'jobs_job'::regclass AND mode = 'RowExclusiveLock'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()
"""

_FORGET = """
DELETE FROM jobs_gateopening WHERE id IN (
    SELECT id FROM (SELECT id, at FROM jobs_gateopening ORDER BY id LIMIT %(most)s) oldest
    WHERE at < now() - make_interval(secs => %(age_s)s)
)
RETURNING id
"""


class Correction(NamedTuple):
    """A gate whose count was wrong."""

    gate_id: int
    org_id: int
    scope: str
    was: int
    running: int


def open_again(gate_id: int) -> None:
    """Have workers look again at the flows that this gate closed; EVERYTHING: at all that are closed.

    Call it in the transaction of what opens them, so that it is seen when that is.
    """
    GateOpening.objects.create(gate_id=gate_id, xid=CurrentTransaction())
    notify.changed([], ready=True)


def fill(gate_id: int) -> None:
    """Count what runs already in a gate whose row is committed, with UNCOUNTED, and let in what there is room for.

    Claims that do not know the gate yet are waited for. What cannot be counted for long is left to the leader, which
    counts again every few seconds: until then the gate lets nothing in. Not inside a transaction.
    """
    if _wait_for_writers() and _have_all_join(gate_id):
        with transaction.atomic():
            correct([gate_id])


def _have_all_join(gate_id: int) -> bool:
    """Whether all that runs now counts in this gate."""
    for _ in range(_MOST_TURNS):
        joined, missing = join_running(gate_id)
        if joined == missing:
            return True
        time.sleep(_TURN_S)  # the others are ending or being renewed at this moment
    return False


def join_running(gate_id: int | None = None, *, age_s: float | None = None) -> tuple[int, int]:
    """Have running jobs count in this gate, or in all of theirs: how many now do, and how many did not before."""
    [(joined, missing)] = rows_of(_JOIN, {"gate": gate_id, "age_s": age_s})
    return joined, missing


def wrong(*, most: int, age_s: float | None = None) -> list[int]:
    """Ids of gates whose count is not what runs; of jobs whose lease ended at most `age_s` ago (None: of all)."""
    return [gate for (gate,) in rows_of(_WRONG, {"most": most, "age_s": age_s})]


def correct(
    gate_ids: Iterable[int], *, age_s: float | None = None, skip_held: bool = False
) -> list[Correction]:
    """Count again what runs in these gates, and open those whose count sank. In the caller's transaction.

    `skip_held` leaves out those that somebody else holds.
    """
    hold = f"{_HOLD} SKIP LOCKED" if skip_held else _HOLD
    held = [gate for (gate,) in rows_of(hold, {"gates": list(gate_ids)})]
    # A statement of its own: its snapshot sees what those did who held the gates before.
    corrections = [Correction(*row) for row in rows_of(_CORRECT, {"gates": held, "age_s": age_s})]
    for one in corrections:
        if one.running < one.was:
            open_again(one.gate_id)
    return corrections


def forget_openings(*, age_s: float, most: int) -> int:
    """Remove openings that every worker has seen by now; answers how many."""
    return len(rows_of(_FORGET, {"age_s": age_s, "most": most}))


def _wait_for_writers() -> bool:
    """Whether they ended. A statement locks the table before it takes its snapshot: whoever comes later sees what is
    committed by now."""
    if connection.in_atomic_block:
        return True
    writing = set(rows_of(_WRITING, {}))
    ends = time.monotonic() + _CLAIMS_END_S
    while writing and time.monotonic() < ends:
        time.sleep(_TURN_S)
        writing &= set(rows_of(_WRITING, {}))
    return not writing
