"""Counts who goes before a queued job: jobs of its organisation by rank, and organisations by their shares.

Every count ends at a limit, and so does what is read for it: through the index job_head_of_flow from the
job's own rank down, and by one look per organisation. Called by `jobs.explaining`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection

from jobs.models import Job
from jobs.standing import Around, Place, Position, ShareOf
from orgs import walls

MOST_AHEAD = 1000
MOST_FLOWS = 500
MOST_LOOKED_AT = 5000  # flows, with or without jobs
MOST_OTHERS = 100
MOST_ORGS = 10_000

# The job's own flow is one of them, however many there are.
_FLOWS = """
SELECT flow.id, flow.queue, flow.type, flow.key,
    (SELECT count(*) FROM (SELECT 1 FROM jobs_flow WHERE org_id = %(org)s LIMIT %(looks)s) looked_at) = %(looks)s
FROM (
    SELECT id, queue, type, key FROM jobs_flow WHERE id = %(flow)s
    UNION ALL
    (SELECT id, queue, type, key FROM jobs_flow WHERE org_id = %(org)s AND id <> %(flow)s LIMIT %(looks)s)
) flow, LATERAL (
    SELECT 1 FROM jobs_job
    WHERE status = 'queued' AND rank > '-infinity' AND flow_id = flow.id
        AND (rank, id) < (%(rank)s::float8, %(job)s::bigint)
    ORDER BY rank DESC, id DESC LIMIT 1
) ahead
LIMIT %(most)s
"""

# Of each of two sets of flows.
_JOBS = """
SELECT set.number, (
    SELECT count(*) FROM (
        SELECT 1 FROM unnest(%(flows)s::bigint[], %(sets)s::int[]) AS flow(id, set), LATERAL (
            SELECT 1 FROM jobs_job
            WHERE status = 'queued' AND rank > '-infinity' AND flow_id = flow.id
                AND (rank, id) < (%(rank)s::float8, %(job)s::bigint)
            ORDER BY rank DESC, id DESC LIMIT %(most)s
        ) ahead
        WHERE flow.set = set.number LIMIT %(most)s
    ) counted
)
FROM generate_series(0, 1) AS set(number)
"""

# A status is asked for as a range, so that only job_of_org_not_done has the order. What a share was is told when it
# changes: it has decayed since.
_SHARE = """
SELECT org.weight, coalesce(share.recent_s * decay.rest, 0), coalesce(greatest(share.lead_s, 0) * decay.rest, 0), (
    SELECT count(*) FROM (
        SELECT 1 FROM (SELECT id FROM orgs_organization WHERE id <> %(org)s LIMIT %(orgs)s) other, LATERAL (
            SELECT 1 FROM jobs_job
            WHERE org_id = other.id AND status BETWEEN 'queued' AND 'queued' ORDER BY status, id DESC LIMIT 1
        ) queued
        LIMIT %(most)s
    ) others
)
FROM orgs_organization org
LEFT JOIN jobs_share share ON share.org_id = org.id
LEFT JOIN LATERAL (
    SELECT power(0.5, greatest(extract(epoch FROM now() - share.as_of), 0) / %(half_life_s)s)::float8
) decay(rest) ON true
WHERE org.id = %(org)s
"""


@dataclass(frozen=True)
class Ahead:
    """The flows of an organisation, by id, that have queued jobs which rank before one of its jobs."""

    flows: dict[int, Place]
    capped: bool  # there may be more
    of_job: dict[str, Any]  # as the statements ask for it

    def position(self, job: Job, around: Around) -> Position:
        """How many there are in these flows."""
        mine = place_of(job)
        sets = [int(before) for before in around.in_the_way(self.flows.values(), mine)]
        asked = {**self.of_job, "flows": list(self.flows), "sets": sets, "most": MOST_AHEAD + 1}
        counts = dict(_rows(_JOBS, asked)) if self.flows else {}
        in_the_way, held_back = counts.get(1, 0), counts.get(0, 0)
        return Position(
            queue=job.queue,
            lane=job.lane,
            in_the_way=min(in_the_way, MOST_AHEAD),
            in_the_way_capped=self.capped or in_the_way > MOST_AHEAD,
            held_back=min(held_back, MOST_AHEAD),
            held_back_capped=self.capped or held_back > MOST_AHEAD,
        )


def place_of(job: Job) -> Place:
    return Place(job.queue, job.type, job.concurrency_key or "")


def flows(job: Job) -> Ahead:
    """Those with jobs that go before this one."""
    of_job = {"flow": job.flow_id, "org": job.org_id, "rank": job.rank, "job": job.pk}
    found = _rows(_FLOWS, {**of_job, "most": MOST_FLOWS, "looks": MOST_LOOKED_AT})
    places = {flow_id: Place(*place) for flow_id, *place, _ in found}
    capped = len(found) == MOST_FLOWS or any(looked_at_most for *_, looked_at_most in found)
    return Ahead(places, capped, of_job)


def share(org_id: int) -> ShareOf:
    """What the organisation has received, as the workers told it; nothing where none has yet.

    How many others have queued jobs is counted behind no wall: the number is told, and nothing else of them.
    """
    asked = {
        "org": org_id,
        "orgs": MOST_ORGS,
        "most": MOST_OTHERS + 1,
        "half_life_s": settings.SHARE_HALF_LIFE_S,
    }
    with walls.everything():
        ((weight, received_s, lead_s, others),) = _rows(_SHARE, asked)
    return ShareOf(
        received_s=received_s,
        weight=weight,
        lead_s=lead_s,
        others=min(others, MOST_OTHERS),
        others_capped=others > MOST_OTHERS,
    )


def _rows(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
