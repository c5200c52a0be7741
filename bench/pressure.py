"""Goal 5, first half: throughput under steady load while other sessions hold back PostgreSQL's clean-up.

Phases: clean; with a session that is idle in a transaction with a transaction id, and the way back after
it has ended; with four REPEATABLE READ sessions that scan the hot tables once a second inside one
transaction each. A prober claims a few jobs ten times a second beside the worker, for the time it takes.
"""

from __future__ import annotations

import statistics

from bench import blocker, contrast, report
from bench.goals import Goal
from bench.load import Load, Observed
from bench.plan import Plan
from bench.snapshots import idle_in_transaction, readers

RECOVERY_S = 60.0
CLEAN_S = 120.0  # at most: enough to compare with
RECOVERED = 2.0  # times the clean p99


def measure(plan: Plan) -> list[Goal]:
    seconds = plan.pressure_s
    before = _clean(plan)
    with Load(plan.server) as load:
        with idle_in_transaction(plan.server) as pid:
            held = load.observe(seconds)
            named = blocker.names(pid)
        back = load.observe(min(RECOVERY_S, seconds))
    with Load(plan.server) as load, readers(plan.server):
        read = load.observe(seconds)
    after = _clean(plan)
    _print(
        {
            "clean": before,
            "idle in transaction": held,
            "after it ended": back,
            "4 readers": read,
            "clean again": after,
        }
    )
    contrast.measure(plan)
    clean = statistics.mean([before.rate, after.rate])
    return [
        Goal("throughput, idle in transaction to clean", held.rate / clean, 0.7, at_least=True),
        Goal("throughput, 4 readers to clean", read.rate / clean, 0.7, at_least=True),
        Goal("claim p99 back after", _recovery_s(before, back), RECOVERY_S, " s"),
        Goal("readyz and metrics name the blocking session", float(named), 1, at_least=True),
    ]


def _clean(plan: Plan) -> Observed:
    with Load(plan.server) as load:
        return load.observe(min(plan.pressure_s, CLEAN_S))


def _print(phases: dict[str, Observed]) -> None:
    columns = ["phase", "jobs/s", "quarters", "claim p50 ms", "claim p99 ms"]
    columns += ["CPU s/1,000: worker", "PostgreSQL", "cores that others used", "short of jobs %"]
    report.table(
        "Pressure: steady load, one worker; quarters of each phase",
        columns,
        [[name, *_row(phase)] for name, phase in phases.items()],
    )


def _row(phase: Observed) -> list[object]:
    quarters = " ".join(f"{rate:,.0f}" for rate in phase.quarters)
    claims: list[object] = [report.percentile(phase.claims_ms, percent) for percent in (50, 99)]
    costs: list[object] = [phase.worker_cpu_s, phase.postgres_cpu_s, phase.others_cores, phase.short * 100]
    return [phase.rate, quarters, *claims, *costs]


def _recovery_s(clean: Observed, back: Observed) -> float:
    """Seconds until the p99 of the last five seconds is within twice the clean one; infinite when it never is."""
    limit = RECOVERED * report.percentile(clean.claims_ms, 99)
    for end_s, window in back.windows(5.0):
        if report.percentile(window, 99) <= limit:
            return end_s
    return float("inf")
