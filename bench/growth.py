"""Goal 4, first half: what a claim costs with a long queue and behind a long history.

The claim is `jobs.claims.claim` itself, on a connection as a worker has it and with the memory of the
queue that a worker keeps. Between two timed claims the claimed jobs are finished and as many new ones
queued, so the depth stays what it is. Each case has a database of its own; they take turns.
"""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from dataclasses import dataclass, field

from bench import memory, product, report
from bench.goals import Goal
from bench.plan import Plan

SHALLOW = 1000
SIZES = (10, 100)  # jobs per claim
TURNS = 5
WARM_UP = 3
TYPES = ["http", "shell", "etl", "ml", "python"]
FILL_BATCH = 50_000


@dataclass
class Case:
    """A database with a queue and a history; `spent` has milliseconds by jobs per claim, one list per turn."""

    database: str
    queued: int
    history: int
    stale: bool = False  # planned when the queue began to fill, on statistics of an empty one
    template: int = 0
    spent: dict[int, list[list[float]]] = field(default_factory=lambda: {size: [] for size in SIZES})

    def median_ms(self, size: int) -> float:
        return statistics.median(ms for turn in self.spent[size] for ms in turn)

    def ratio_to(self, other: Case) -> float:
        """Median over the turns of this case's cost to that of the other one in the same turn; the worse size."""
        return max(
            statistics.median(
                statistics.median(mine) / statistics.median(theirs)
                for mine, theirs in zip(self.spent[size], other.spent[size], strict=True)
            )
            for size in SIZES
        )


def measure(plan: Plan) -> list[Goal]:
    plain = Case("growth_plain", SHALLOW, 0)
    deep = Case("growth_deep", plan.queued, 0)
    aged = Case("growth_aged", SHALLOW, plan.history)
    stale = Case("growth_stale", plan.queued // 10, SHALLOW, stale=True)
    cases = (plain, deep, aged, stale)
    product.clear()
    product.people("growth")
    for case in cases:
        fill(plan, case)
    for _ in range(TURNS):
        for case in (plain, deep, aged):
            take_turn(plan, case)
    product.switch(stale.database)
    asyncio.run(_on_an_old_session(plan, stale))
    product.switch(product.DATABASE)
    for case in cases:
        plan.server.drop_database(case.database)
    report.table(
        f"Growth: one claim, median ms, {TURNS} turns",
        ["queued", "finished in history", "plans", *(f"claim of {size}" for size in SIZES)],
        [
            [
                case.queued,
                case.history,
                "stale" if case.stale else "fresh",
                *(case.median_ms(size) for size in SIZES),
            ]
            for case in cases
        ],
    )
    return [
        Goal(f"claim with {plan.queued:,} queued to {SHALLOW:,}", deep.ratio_to(plain), 1.5),
        Goal(f"claim with {plan.history:,} finished to none", aged.ratio_to(plain), 1.2),
        Goal(f"claim with stale plans, {stale.queued:,} queued to {SHALLOW:,}", stale.ratio_to(plain), 1.5),
        *memory.measure(plan),
    ]


def fill(plan: Plan, case: Case) -> None:
    from bench import rows

    started = time.monotonic()
    product.switch(product.DATABASE)
    plan.server.fresh_database(case.database, template=product.DATABASE)
    product.switch(case.database)
    org, user = product.people("growth")
    if case.history:
        rows.copy(rows.finished(org, user), case.history, {}, batch=FILL_BATCH)
    case.template = rows.waiting(org, user)
    if case.stale:
        rows.stop_autovacuum()
        rows.vacuum()
        rows.copy(case.template, 2 * SHALLOW, rows.QUEUED, batch=FILL_BATCH)
    else:
        rows.copy(case.template, case.queued, rows.QUEUED, batch=FILL_BATCH)
        rows.vacuum()
    took = time.monotonic() - started
    report.say(f"  {case.queued:,} queued, {case.history:,} finished: filled in {took:.0f} s")


def take_turn(plan: Plan, case: Case) -> None:
    product.switch(case.database)
    for size in SIZES:
        calls = max(plan.claim_calls // TURNS // (1 if size == SIZES[0] else 3), 2)
        case.spent[size].append(asyncio.run(_on_a_worker_session(case.template, size, calls)))


async def _on_a_worker_session(template: int, size: int, calls: int) -> list[float]:
    from scheduler.database_thread import DatabaseThread

    database = DatabaseThread("bench")
    try:
        return await database.call(_claims_ms, template, size, calls)
    finally:
        await database.close()


async def _on_an_old_session(plan: Plan, case: Case) -> None:
    """The plans of this session are from when the queue began to fill, on statistics of an empty one."""
    from scheduler.database_thread import DatabaseThread

    database = DatabaseThread("bench")
    try:
        await database.call(_claims_ms, case.template, 0, 2 * WARM_UP)
        await asyncio.to_thread(_queue, case)
        for _ in range(TURNS):
            for size in SIZES:
                spent = await database.call(
                    _claims_ms, case.template, size, max(plan.claim_calls // TURNS // 3, 2)
                )
                case.spent[size].append(spent)
    finally:
        await database.close()


def _queue(case: Case) -> None:
    from django.db import connection

    from bench import rows

    rows.copy(case.template, case.queued, rows.QUEUED, batch=FILL_BATCH)
    connection.close()


def _claims_ms(template: int, size: int, calls: int) -> list[float]:
    from bench import rows
    from jobs import claims, leases

    worker, heads, spent = str(uuid.uuid4()), claims.Heads(), []
    for _ in range(calls + WARM_UP):
        before = time.perf_counter()
        claimed = claims.claim(worker_id=worker, types=TYPES, limit=max(size, 1), lease_s=60, heads=heads)
        spent.append((time.perf_counter() - before) * 1000)
        leases.finish(worker_id=worker, ended=[claims.Finish(job.id, job.attempt, "done") for job in claimed])
        rows.copy(template, size, rows.QUEUED)  # none, while the queue is to stay empty
    return spent[WARM_UP:]  # the first ones prepare the statement and look at the whole queue
