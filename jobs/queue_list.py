"""The queues of organisations, for people: which there are, and what waits and runs in each. Reads only.

Concurrency keys make an organisation millions of flows, so names are found by leaping through the index of
flow_unique, and counting stops at MOST_COUNTED.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from jobs.models import Flow, Pause
from orgs import walls
from orgs.models import User

MOST_QUEUES = 2_000
MOST_COUNTED = 10_000

_LEAP = """
WITH RECURSIVE leap(id, org_id, queue) AS (
    (SELECT id, org_id, queue FROM jobs_flow WHERE {first} ORDER BY org_id, queue, type, key LIMIT 1)
    UNION ALL
    SELECT beyond.id, beyond.org_id, beyond.queue FROM leap, LATERAL (
        SELECT id, org_id, queue FROM jobs_flow WHERE {next} ORDER BY org_id, queue, type, key LIMIT 1
    ) beyond
)
SELECT id, queue FROM leap LIMIT %(most)s
"""
_OF_ALL = _LEAP.format(first="true", next="(org_id, queue) > (leap.org_id, leap.queue)")
_OF_ONE = _LEAP.format(first="org_id = %(org)s", next="org_id = %(org)s AND queue > leap.queue")

_COUNTS = """
SELECT listed.id,
    (
        SELECT count(*) FROM (
            SELECT 1 FROM jobs_flow flow
                JOIN jobs_job job ON job.flow_id = flow.id AND status = 'queued' AND job.rank > '-infinity'
            WHERE flow.org_id = listed.org_id AND flow.queue = listed.queue LIMIT %(most)s
        ) found
    ),
    (
        SELECT count(*) FROM jobs_job job
        WHERE job.org_id = listed.org_id AND status = 'running' AND job.queue = listed.queue
    )
FROM jobs_flow listed WHERE listed.id = ANY(%(flows)s::bigint[])
"""


@dataclass(frozen=True, slots=True)
class Load:
    """`waiting`: queued jobs, counted up to MOST_COUNTED; `pause`: what holds the whole queue back, or None."""

    waiting: int = 0
    running: int = 0
    pause: Pause | None = None


def first_flows(user: User) -> dict[int, str]:
    """The name of each queue that `user` may see, by the id of its first flow; at most MOST_QUEUES."""
    if not user.is_active or not (user.sees_all or user.seen_org_id):
        return {}
    if user.sees_all:
        return dict(walls.rows_of(_OF_ALL, {"most": MOST_QUEUES}))
    return dict(walls.rows_of(_OF_ONE, {"org": user.seen_org_id, "most": MOST_QUEUES}))


def names(user: User) -> list[str]:
    """The names of the queues that `user` may see, each once."""
    return sorted(set(first_flows(user).values()))


def loads(listed: Iterable[Flow]) -> dict[int, Load]:
    """What is in the queue of each of these flows, by the flow's id; two statements."""
    flows = list(listed)
    if not flows:
        return {}
    counts = walls.rows_of(_COUNTS, {"flows": [flow.pk for flow in flows], "most": MOST_COUNTED})
    by_id = {flow_id: (waiting, running) for flow_id, waiting, running in counts}
    held = list(_pauses(flows))
    return {flow.pk: Load(*by_id.get(flow.pk, (0, 0)), pause=_holding(held, flow)) for flow in flows}


def own_pause(org_id: int, queue: str) -> Pause | None:
    """The pause of just this queue, which can be ended for it alone."""
    return Pause.objects.filter(org_id=org_id, queue=queue, type=None).select_related("org").first()


def _pauses(flows: list[Flow]) -> QuerySet[Pause]:
    """Those that hold whole queues: of the queue, of its organisation, of the platform."""
    orgs, queues = {flow.org_id for flow in flows}, {flow.queue for flow in flows}
    return Pause.objects.filter(Q(org=None) | Q(org__in=orgs), Q(queue=None) | Q(queue__in=queues), type=None)


def _holding(pauses: list[Pause], flow: Flow) -> Pause | None:
    fitting = [
        pause for pause in pauses if pause.org_id in (None, flow.org_id) and pause.queue in (None, flow.queue)
    ]
    # The closest one first: it is the one that can be ended for this queue alone.
    return min(fitting, key=lambda pause: (pause.queue is None, pause.org_id is None), default=None)
