"""What the queue looks like now, as the simulation of starts takes it. Reads only, and a bounded part of any queue.

Read are the flows with work, of each the first jobs (by the index job_head_of_flow), what runs, the live workers, the
limits with their counters, the organisations' leads, and the delayed jobs that are due next. Called by `jobs.eta_store`
for the leader's duty.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection

from jobs import selectors
from jobs.fairness import charge_s
from jobs.game import MOST_STARTS, Arrival, Flow, Queue, Running, Waiting
from jobs.game import Gate as Limited
from jobs.limit_models import EVERY_KEY, KEY, KEY_RUNNING, ORG, QUEUE, Gate, Limit, Share
from jobs.models import Pause, Worker
from jobs.spread import Runtime, runtime

MOST_FLOWS = 1000
MOST_ORGS = 300
MOST_RUNNING = 2000
MOST_DELAYED = 100
DELAYED_WITHIN_S = 600.0
MOST_LATELY = 200
# What comes in a second is measured over the fewest of these that took LATELY_S: a batch of thousands is no stream.
BEHIND = (200, 2000, 20_000)
LATELY_S = 60.0
Row = tuple[Any, ...]
LEARNED = ("base", "lstm")  # sources of predictions that rest on a history

# From one flow to the next through the index, as in jobs.claims.LOOK.
FLOWS = """
WITH RECURSIVE head AS (
    (
        SELECT flow_id FROM jobs_job WHERE status = 'queued' AND rank > '-infinity'
        ORDER BY flow_id, rank, id LIMIT 1
    )
    UNION ALL
    SELECT following.flow_id FROM head, LATERAL (
        SELECT flow_id FROM jobs_job
        WHERE status = 'queued' AND rank > '-infinity' AND flow_id > head.flow_id
        ORDER BY flow_id, rank, id LIMIT 1
    ) following
)
SELECT flow.id, flow.org_id, flow.queue, flow.type, flow.key, org.weight
FROM (SELECT flow_id FROM head LIMIT %(most)s) at_work
    JOIN jobs_flow flow ON flow.id = at_work.flow_id
    JOIN orgs_organization org ON org.id = flow.org_id
"""

HEAD = """
SELECT job.id, job.flow_id, job.rank, job.predicted_runtime_ms, job.predicted_low_ms, job.predicted_high_ms,
    job.prediction_source, job.timeout_s
FROM unnest(%(flows)s::bigint[]) AS wanted(flow_id), LATERAL (
    SELECT * FROM jobs_job
    WHERE status = 'queued' AND rank > '-infinity' AND flow_id = wanted.flow_id
    ORDER BY rank, id LIMIT %(quota)s
) job
"""

RUNNING = """
SELECT id, org_id, worker_id, coalesce(gates, '{}'), greatest(extract(epoch FROM now() - started_at), 0)::float8,
    predicted_runtime_ms, predicted_low_ms, predicted_high_ms, prediction_source, timeout_s
FROM jobs_job WHERE status = 'running' LIMIT %(most)s
"""

DELAYED = """
SELECT job.id, job.flow_id, job.rank, job.predicted_runtime_ms, job.predicted_low_ms, job.predicted_high_ms,
    job.prediction_source, job.timeout_s, greatest(extract(epoch FROM job.run_at - now()), 0.25)::float8,
    flow.id, flow.org_id, flow.queue, flow.type, flow.key, org.weight
FROM (
    SELECT * FROM jobs_job WHERE status = 'scheduled' AND run_at < now() + make_interval(secs => %(within_s)s)
    ORDER BY run_at LIMIT %(most)s
) job
    JOIN jobs_flow flow ON flow.id = job.flow_id
    JOIN orgs_organization org ON org.id = flow.org_id
"""


# The newest jobs, as if they were due now.
LATELY = """
SELECT job.id, job.flow_id, (job.rank - extract(epoch FROM job.run_at) + extract(epoch FROM now()))::float8,
    job.predicted_runtime_ms, job.predicted_low_ms, job.predicted_high_ms, job.prediction_source, job.timeout_s,
    0.0::float8, flow.id, flow.org_id, flow.queue, flow.type, flow.key, org.weight
FROM (SELECT * FROM jobs_job ORDER BY id DESC LIMIT %(most)s) job
    JOIN jobs_flow flow ON flow.id = job.flow_id
    JOIN orgs_organization org ON org.id = flow.org_id
"""

# How long ago the jobs came that so many others followed.
SINCE = """
SELECT behind.jobs, greatest(extract(epoch FROM now() - earlier.created_at), 0)::float8
FROM unnest(%(behind)s::bigint[]) AS behind(jobs), LATERAL (
    SELECT created_at FROM jobs_job WHERE id <= (SELECT max(id) FROM jobs_job) - behind.jobs ORDER BY id DESC LIMIT 1
) earlier
ORDER BY behind.jobs
"""


class FlowRow(NamedTuple):
    id: int
    org_id: int
    queue: str
    type: str
    key: str
    weight: float


@dataclass(frozen=True)
class Snapshot:
    """`queue` for the simulation, as of `at`; `flows` of the waiting jobs; `learned`: some prediction in it rests on a
    history."""

    at: datetime
    queue: Queue
    flows: dict[int, FlowRow]
    learned: bool


class Workers(NamedTuple):
    """Live workers that take jobs. `takes`: types and queues (None: all) by group; `group_of`: by worker."""

    takes: list[tuple[frozenset[str], frozenset[str] | None]]
    slots: list[int]
    group_of: dict[str, int]

    def taking(self, job_type: str, queue: str) -> tuple[int, ...]:
        """The groups whose workers take such jobs."""
        return tuple(
            group
            for group, (types, queues) in enumerate(self.takes)
            if job_type in types and (queues is None or queue in queues)
        )


def workers() -> Workers:
    found = Workers([], [], {})
    for worker in selectors.active_workers().filter(wanted=Worker.RUN).order_by("pk"):
        takes = (frozenset(worker.types), None if worker.queues is None else frozenset(worker.queues))
        if takes not in found.takes:
            found.takes.append(takes)
            found.slots.append(0)
        group = found.takes.index(takes)
        found.slots[group] += worker.concurrency
        found.group_of[worker.pk] = group
    return found


def is_paused(pauses: Iterable[Pause], org_id: int, queue: str, job_type: str) -> bool:
    """Whether one of these pauses holds back such jobs, as the claim sees it."""
    return any(
        pause.org_id in (None, org_id) and pause.queue in (None, queue) and pause.type in (None, job_type)
        for pause in pauses
    )


def take() -> Snapshot | None:
    """None where nothing waits that a live worker would take."""
    pool = workers()
    read = _read(pool)
    if read is None:
        return None
    now = read.at
    flows = read.flows | {row[9]: FlowRow(*row[9:]) for row in [*read.delayed, *read.lately]}
    names, gates = _gates(flows.values(), now)
    queue = Queue(
        slots=pool.slots,
        flows={
            row.id: Flow(
                row.org_id, pool.taking(row.type, row.queue), _gates_of(row, gates), row.id in read.cut
            )
            for row in flows.values()
        },
        waiting=[_waiting(row) for row in read.jobs] + [_waiting(row[:8], row[8]) for row in read.delayed],
        running=[_running(row, pool, names) for row in read.running],
        gates=gates,
        orgs=_orgs(flows.values(), now),
        half_life_s=settings.SHARE_HALF_LIFE_S,
        arrivals=[Arrival(*_waiting(row[:8])[1:5]) for row in read.lately],
        per_s=read.per_s,
    )
    learned = any(row[6] in LEARNED for row in read.jobs) or any(row[8] in LEARNED for row in read.running)
    return Snapshot(now, queue, flows, learned)


class _Read(NamedTuple):
    """Rows of HEAD, DELAYED, LATELY and RUNNING. `cut`: flows of which as many jobs were read as were asked for."""

    at: datetime
    flows: dict[int, FlowRow]
    jobs: list[Row]
    cut: set[int]
    delayed: list[Row]
    lately: list[Row]
    per_s: float
    running: list[Row]


def _read(pool: Workers) -> _Read | None:
    pauses = list(Pause.objects.all())
    rows = (FlowRow(*row) for row in _fetch(FLOWS, {"most": MOST_FLOWS}))
    flows = {row.id: row for row in rows if _is_served(row, pool, pauses)}
    if not flows:
        return None
    [(now,)] = _fetch("SELECT now()", {})
    quota = min(max(math.ceil(2 * MOST_STARTS / len(flows)), 2), MOST_STARTS)
    head = _fetch(HEAD, {"flows": list(flows), "quota": quota})
    first = _first_orgs(head, flows, now)
    flows = {flow: row for flow, row in flows.items() if row.org_id in first}
    counts = Counter(row[1] for row in head)
    running = _fetch(RUNNING, {"most": MOST_RUNNING})
    begun = {row[0] for row in running}  # some since the head was read
    lately, per_s = _lately(pool, pauses)
    return _Read(
        at=now,
        flows=flows,
        jobs=[row for row in head if row[1] in flows and row[0] not in begun],
        cut={flow for flow, count in counts.items() if count >= quota},
        delayed=_served(_fetch(DELAYED, {"within_s": DELAYED_WITHIN_S, "most": MOST_DELAYED}), pool, pauses),
        lately=lately,
        per_s=per_s,
        running=running,
    )


def _first_orgs(head: Iterable[Row], flows: dict[int, FlowRow], now: datetime) -> set[int]:
    """Those whose turns come first: with hundreds of organisations no game comes to the others."""
    best: dict[int, float] = {}
    for _, flow, rank, *_ in head:
        org = flows[flow].org_id
        best[org] = min(rank, best.get(org, rank))
    if len(best) <= MOST_ORGS:
        return set(best)
    orgs = _orgs(flows.values(), now)
    return set(sorted(best, key=lambda org: (orgs[org][1], best[org]))[:MOST_ORGS])


def runtime_of(row: Row) -> Runtime:
    """Of predicted median, low and high end (ms), source and time limit."""
    median_ms, low_ms, high_ms, source, timeout_s = row
    return runtime(median_ms, low_ms, high_ms, learned=source in LEARNED, limit_s=timeout_s)


def _is_served(row: FlowRow, pool: Workers, pauses: Sequence[Pause]) -> bool:
    return bool(pool.taking(row.type, row.queue)) and not is_paused(pauses, row.org_id, row.queue, row.type)


def _waiting(row: Row, due_s: float = 0.0) -> Waiting:
    job_id, flow_id, rank, median_ms, *_ = row
    return Waiting(job_id, flow_id, rank, runtime_of(row[3:]), charge_s(median_ms), due_s)


def _running(row: Row, pool: Workers, names: dict[int, Hashable]) -> Running:
    job_id, org_id, worker_id, gates, ran_s, median_ms, *_ = row
    return Running(
        id=job_id,
        org=org_id,
        group=pool.group_of.get(worker_id),
        ran_s=ran_s,
        runtime=runtime_of(row[5:]),
        charge_s=charge_s(median_ms),
        gates=tuple(names[gate] for gate in gates if gate in names),
    )


def _served(rows: Iterable[Row], pool: Workers, pauses: Sequence[Pause]) -> list[Row]:
    return [row for row in rows if _is_served(FlowRow(*row[9:]), pool, pauses)]


def _lately(pool: Workers, pauses: Sequence[Pause]) -> tuple[list[Row], float]:
    """The newest jobs, and how many like them come in a second."""
    newest = _fetch(LATELY, {"most": MOST_LATELY})
    spans = _fetch(SINCE, {"behind": sorted({max(len(newest) - 1, 1), *BEHIND})}) or [(1, math.inf)]
    jobs, took_s = next((span for span in spans if span[1] >= LATELY_S), spans[-1])
    served = _served(newest, pool, pauses)
    share = len(served) / max(len(newest), 1)
    return served, share * jobs / max(took_s, LATELY_S)


def _scopes(row: FlowRow) -> list[tuple[int, str, str]]:
    scopes = [(row.org_id, ORG, ""), (row.org_id, QUEUE, row.queue)]
    return [*scopes, (row.org_id, KEY, row.key)] if row.key else scopes


def _gates(flows: Collection[FlowRow], now: datetime) -> tuple[dict[int, Hashable], dict[Hashable, Limited]]:
    """The names of the gates by id, and what is behind those names: only where something is limited."""
    wanted = {scope for row in flows for scope in _scopes(row)}
    orgs = {row.org_id for row in flows}
    rules = {(rule.org_id, rule.scope, rule.name): rule for rule in Limit.objects.filter(org__in=orgs)}
    named = {name for _, _, name in wanted}
    counters = {
        (gate.org_id, gate.scope, gate.name): gate
        for gate in Gate.objects.filter(org__in=orgs, scope__in=(ORG, QUEUE, KEY), name__in=named)
    }
    limited: dict[Hashable, Limited] = {}
    for scope in wanted:
        rule = rules.get(scope) or (rules.get((scope[0], KEY, EVERY_KEY)) if scope[1] == KEY else None)
        if rule is not None or scope[1] == KEY:
            limited[scope] = _limited(rule, counters.get(scope), now)
    return {gate.pk: scope for scope, gate in counters.items()}, limited


def _limited(rule: Limit | None, gate: Gate | None, now: datetime) -> Limited:
    running = gate.running if gate else 0
    if rule is None:
        return Limited(running, KEY_RUNNING)
    if not rule.rate_count or not rule.rate_period_s:
        return Limited(running, rule.max_running)
    per_s = rule.rate_count / rule.rate_period_s
    tokens = float(rule.rate_count)
    if gate is not None and gate.tokens is not None:
        age_s = max((now - gate.tokens_at).total_seconds(), 0.0)
        tokens = min(gate.tokens + age_s * per_s, tokens)
    return Limited(running, rule.max_running, tokens, per_s, float(rule.rate_count))


def _gates_of(row: FlowRow, gates: dict[Hashable, Limited]) -> tuple[Hashable, ...]:
    return tuple(scope for scope in _scopes(row) if scope in gates)


def _orgs(flows: Iterable[FlowRow], now: datetime) -> dict[int, tuple[float, float]]:
    """Weight and lead of each, the lead as it has shrunk since it was told."""
    weights = {row.org_id: row.weight for row in flows}
    half_life_s = settings.SHARE_HALF_LIFE_S
    leads = {
        share.org_id: share.lead_s * 0.5 ** (max((now - share.as_of).total_seconds(), 0.0) / half_life_s)
        for share in Share.objects.filter(org__in=weights)
    }
    return {org: (weight, leads.get(org, 0.0)) for org, weight in weights.items()}


def _fetch(statement: str, parameters: dict[str, Any]) -> list[Row]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall()
