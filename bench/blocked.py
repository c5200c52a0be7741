"""Goal 5, second half: jobs that cannot run, in front of those that can, must not slow these down.

100,000 jobs that are not due, and as many of an organisation that is paused, rank before 2,000 ready ones.
"""

from __future__ import annotations

import statistics

from bench import product, report, starts
from bench.goals import Goal
from bench.plan import Plan

FILL_BATCH = 10_000
CASES = ("nothing", "jobs not due", "jobs of a paused organisation")


def measure(plan: Plan) -> list[Goal]:
    rates: dict[str, list[float]] = {case: [] for case in CASES}
    for _ in range(plan.blocked_rounds):
        for case in CASES:
            rates[case].append(_rate(case, plan))
    report.table(
        f"Blocked: {plan.ready:,} ready jobs behind {plan.blocked:,} that cannot run, {plan.blocked_rounds} round(s)",
        ["in front", "jobs/s", "min-max"],
        [[case, float(statistics.median(r)), f"{min(r):,.0f}-{max(r):,.0f}"] for case, r in rates.items()],
    )
    free = rates[CASES[0]]
    return [
        Goal(f"rate behind {case}, to without", _ratio(rates[case], free), 0.9, at_least=True)
        for case in CASES[1:]
    ]


def _ratio(rates: list[float], free: list[float]) -> float:
    return statistics.median(rate / other for rate, other in zip(rates, free, strict=True))


def _rate(case: str, plan: Plan) -> float:
    from bench import rows
    from jobs.models import Pause

    product.clear()
    org, user = product.people("ready")
    if case == CASES[1]:
        rows.copy(rows.waiting(org, user), plan.blocked, rows.NOT_DUE, batch=FILL_BATCH)
    elif case == CASES[2]:
        other, other_user = product.people("paused")
        Pause.objects.create(org=other, reason="bench")
        older = rows.QUEUED | {"rank": "extract(epoch FROM now()) - 3600 + 1e-6 * g"}
        rows.copy(rows.waiting(other, other_user), plan.blocked, older, batch=FILL_BATCH)
    rows.copy(rows.waiting(org, user), plan.ready, rows.QUEUED)
    rows.vacuum()
    with product.processes() as processes:
        processes.workers(1)
        product.wait_until(
            lambda: processes.count() >= plan.ready, f"{plan.ready:,} jobs start behind {case}"
        )
        times = [at for _, at in starts.read(processes.starts)]
    rate = (plan.ready - 1) / (times[-1] - times[0])
    report.say(f"  behind {case}: {rate:,.0f} jobs/s")
    return rate
