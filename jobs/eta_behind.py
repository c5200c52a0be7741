"""When a job behind the head of the queue starts: work that flows into slots, without the order of single jobs.

Ahead of a job are the jobs of its organisation with lower ranks; what the workers do for others meanwhile follows from
the weights of the organisations that have work. Reads a bounded part of the queue. Called by `jobs.eta`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import connection

from jobs import eta_snapshot
from jobs.eta_snapshot import LEARNED, Workers
from jobs.fairness import charge_s
from jobs.limit_models import EVERY_KEY, KEY, KEY_RUNNING, ORG, QUEUE, Gate, Limit
from jobs.models import Job
from jobs.simulation import Interval
from orgs.models import Organization

MOST_AHEAD = 2000
MOST_FLOWS = 300
MOST_RUNNING = 500
SPREAD = (0.6, 1.0, 1.6)  # of the work ahead, at the ends of the interval

AHEAD = """
SELECT count(*), coalesce(sum(seconds), 0)::float8, coalesce(sum(seconds) FILTER (WHERE flow_id = %(flow)s), 0)::float8,
    coalesce(bool_or(learned), false)
FROM (
    SELECT ahead.flow_id, coalesce(ahead.predicted_runtime_ms, 3000) / 1000 AS seconds,
        ahead.prediction_source = ANY(%(learned)s::text[]) AS learned
    FROM (
        SELECT id FROM jobs_flow
        WHERE org_id = %(org)s AND NOT EXISTS (
            SELECT 1 FROM jobs_pause pause
            WHERE (pause.org_id IS NULL OR pause.org_id = jobs_flow.org_id)
                AND (pause.queue IS NULL OR pause.queue = jobs_flow.queue)
                AND (pause.type IS NULL OR pause.type = jobs_flow.type)
        )
        ORDER BY id DESC LIMIT %(most_flows)s
    ) flow, LATERAL (
        SELECT flow_id, predicted_runtime_ms, prediction_source FROM jobs_job
        WHERE status = 'queued' AND rank > '-infinity' AND flow_id = flow.id AND (rank, id) < (%(rank)s, %(id)s)
        ORDER BY rank, id LIMIT %(most)s
    ) ahead
    LIMIT %(most)s
) first
"""

RIVALS = """
SELECT coalesce(sum(weight), 0)::float8 FROM orgs_organization
WHERE id <> %(org)s AND id IN (
    SELECT org_id FROM jobs_eta WHERE as_of > now() - make_interval(secs => %(fresh_s)s)
)
"""


class Ahead(NamedTuple):
    """Jobs of the organisation with lower ranks, at most MOST_AHEAD: their number and predicted seconds, those of the
    job's own flow, and whether any prediction rests on a history."""

    jobs: int
    seconds: float
    of_flow_s: float
    learned: bool


class Slots(NamedTuple):
    """Of the workers that take the job: in how many seconds each is free, and the work that is claimed ahead."""

    free_in_s: list[float]
    claimed_s: float
    learned: bool


class Limits(NamedTuple):
    """How many jobs may run at once, of the organisation and queue, and of the concurrency key; None: no limit."""

    most: int | None
    most_of_key: int | None
    key_is_busy: bool


def ahead_of(job: Job) -> Ahead:
    parameters = {
        "flow": job.flow_id,
        "org": job.org_id,
        "rank": job.rank,
        "id": job.pk,
        "learned": list(LEARNED),
        "most": MOST_AHEAD,
        "most_flows": MOST_FLOWS,
    }
    return Ahead(*_fetch(AHEAD, parameters)[0])


def slots_for(pool: Workers, groups: tuple[int, ...]) -> Slots:
    rows = [
        row
        for row in _fetch(eta_snapshot.RUNNING, {"most": MOST_RUNNING})
        if pool.group_of.get(row[2]) in groups
    ]
    left = sorted(eta_snapshot.runtime_of(row[5:]).left(row[4], 0.0) for row in rows)
    count = sum(pool.slots[group] for group in groups)
    idle = [0.0] * max(count - len(left), 0)
    return Slots(idle + left[:count], sum(left[count:]), any(row[8] in LEARNED for row in rows))


def limits_of(job: Job) -> Limits:
    key = job.concurrency_key
    rules = {(rule.scope, rule.name): rule.max_running for rule in Limit.objects.filter(org=job.org_id)}
    wide = [rules.get((ORG, "")), rules.get((QUEUE, job.queue))]
    most = min((number for number in wide if number is not None), default=None)
    if not key:
        return Limits(most, None, False)
    of_key = rules.get((KEY, key), rules.get((KEY, EVERY_KEY), KEY_RUNNING))
    busy = Gate.objects.filter(org=job.org_id, scope=KEY, name=key, running__gt=0).exists()
    return Limits(most, of_key, busy)


def start_of(job: Job, ahead: Ahead, slots: Slots, limits: Limits, fresh_s: float) -> Interval:
    """Seconds from now. `limits` must let some job run."""
    [(rivals,)] = _fetch(RIVALS, {"org": job.org_id, "fresh_s": fresh_s})
    weight = Organization.objects.values_list("weight", flat=True).get(pk=job.org_id)
    count = len(slots.free_in_s)
    own = count * weight / (weight + rivals)
    if limits.most is not None:
        own = min(own, limits.most)
    key_s = 0.0
    if limits.most_of_key:
        running_s = charge_s(job.predicted_runtime_ms) if limits.key_is_busy else 0.0
        key_s = (ahead.of_flow_s + running_s) / limits.most_of_key
    work_s = ahead.seconds * count / own + slots.claimed_s
    low, middle, high = (max(filled(slots.free_in_s, work_s * part), key_s * part) for part in SPREAD)
    return Interval(low, middle, high)


def filled(free_in_s: list[float], work_s: float) -> float:
    """When a slot is free after `work_s` went to whichever was free first. `free_in_s` ascends, and is not empty."""
    poured = 0.0
    for count, level in enumerate(free_in_s[1:], start=1):
        step = (level - free_in_s[count - 1]) * count
        if poured + step >= work_s:
            return free_in_s[count - 1] + (work_s - poured) / count
        poured += step
    return free_in_s[-1] + (work_s - poured) / len(free_in_s)


def _fetch(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
