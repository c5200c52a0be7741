"""The statements by which a worker takes jobs, and nothing else.

LOOK finds every flow with work; CLAIM takes jobs from the handful of flows that the worker's memory chose
(`jobs.heads`), in the order of turns and ranks, and counts them in the gates of their limits: one statement in one
transaction, that takes the edge of `jobs.states` only where the row is still queued, and writes the event with it.
Called by the worker; how jobs end is in `jobs.leases`, what the leader moves in `jobs.reclaims`. Times come from the
database clock; where a function takes `now`, it overrides it. Parameters go apart from the statement, so that a session
prepares it once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jobs.claim_sql import CLAIM, LOOK, PLAIN
from jobs.claimed import Claimed, Ending, Finish, Held, Moved, Renewed
from jobs.heads import Choice, Heads, Seen
from orgs.walls import rows_of

__all__ = [
    "Claimed",
    "Ending",
    "Finish",
    "Heads",
    "Held",
    "Moved",
    "Renewed",
]

PAYLOAD, RETRY_POLICY = (Claimed._fields.index(name) for name in ("payload", "retry_policy"))


def claim(
    *,
    worker_id: str,
    types: Sequence[str],
    limit: int,
    lease_s: float,
    queues: Sequence[str] | None = None,
    heads: Heads | None = None,
    now: datetime | None = None,
) -> list[Claimed]:
    """Take up to `limit` jobs of these types and queues (None: all): turns first, then ranks.

    Nothing from paused flows, nothing beyond a limit, nothing for a worker that is to pause or drain. `heads` is read
    and written. Where a claim gets nothing but finds out where there may be some, it looks there at once.
    """
    heads = Heads() if heads is None else heads
    if heads.xmax is None:
        looked(rows_of(LOOK, looking(types, queues), binary=True), heads)
    asked: dict[str, Any] = {
        "worker_id": worker_id,
        "types": types,
        "limit": limit,
        "lease_s": lease_s,
        "queues": queues,
        "now": now,
    }
    while True:
        choice = heads.choose(limit, time.monotonic())
        rows = rows_of(statement_for(choice), asking(choice, heads, **asked), binary=True)
        claimed = answered(rows, choice, heads)
        if claimed or not (heads.more and heads.moved_on):
            return claimed


def statement_for(choice: Choice) -> str:
    return PLAIN if choice.plain else CLAIM


def looking(types: Sequence[str], queues: Sequence[str] | None) -> dict[str, Any]:
    """The parameters of LOOK."""
    return {"types": list(types), "queues": None if queues is None else list(queues)}


def looked(rows: Sequence[tuple[Any, ...]], heads: Heads) -> None:
    """What LOOK's rows (in binary format, so that no floor is rounded) say; `heads` is written."""
    *flows, last = rows
    heads.look_at_all((Seen(*flow[:-1]) for flow in flows), last[-1])


def asking(
    choice: Choice,
    heads: Heads,
    *,
    worker_id: str,
    types: Sequence[str],
    limit: int,
    lease_s: float,
    queues: Sequence[str] | None,
    now: datetime | None = None,
) -> dict[str, Any]:
    """The parameters of CLAIM, for who sends it over a connection of its own."""
    return {
        **looking(types, queues),
        "worker": worker_id,
        "limit": limit,
        "lease_s": lease_s,
        "now": now,
        "xmax": heads.xmax,
        "unfinished": heads.unfinished,
        "most_flows": choice.room,
        "flows": choice.flows,
        "floors": choice.floors,
        "others": choice.others,
        "orgs": choice.orgs,
        "places": choice.places,
        "present": heads.shares.newcomers_place,
        "quota": choice.quota,
    }


def answered(rows: Sequence[tuple[Any, ...]], choice: Choice, heads: Heads) -> list[Claimed]:
    """What CLAIM's rows (in binary format, as those of LOOK) say; `heads` is written."""
    *jobs, last = rows
    said = last[-_SAID:]
    new_flows, new_orgs, new_queues, new_floors, opened, snapshot = said[_SEEN:]
    looked_at = list(map(Seen, *said[:_SEEN]))
    known = {seen.flow_id for seen in looked_at}
    weights = map(heads.shares.weight, new_orgs)
    arrived = map(Seen, new_flows, new_orgs, new_queues, weights, new_floors)
    heads.remember(
        choice,
        looked_at=looked_at,
        arrived=[seen for seen in arrived if seen.flow_id not in known],
        opened=opened,
        took=len(jobs),
        snapshot=snapshot,
        now=time.monotonic(),
    )
    claimed = [_claimed(row) for row in jobs]
    heads.took((job.org_id, job.predicted_runtime_ms) for job in claimed)
    return claimed


_SEEN = len(Seen._fields)
_SAID = _SEEN + 6  # columns of CLAIM that only its last row fills


def _claimed(row: tuple[Any, ...]) -> Claimed:
    fields = list(row[1:-_SAID])
    fields[PAYLOAD] = _loaded(fields[PAYLOAD])
    if fields[RETRY_POLICY] is not None:
        fields[RETRY_POLICY] = _loaded(fields[RETRY_POLICY])
    return Claimed._make(fields)


_decode = json.JSONDecoder().raw_decode


def _loaded(value: Any) -> Any:
    # Django registers psycopg to hand jsonb over as text, for its own JSONField decoders.
    return _decode(value)[0] if isinstance(value, str) else value
