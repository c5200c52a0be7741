"""Goal 2: from just before the enqueue call to the first line of the job, while the worker is idle.

One job every 20 to 50 ms from another process, on the clock that all processes share. Beside it the raw
round trip: insert and notify on one connection, wake up and claim on another.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from bench import product, report, starts, systems
from bench.goals import Goal
from bench.peers.script import PAUSE_S
from bench.plan import Plan
from bench.raw_sql import round_trips
from bench.systems import System
from bench.usage import Sampler

MOST_ROUNDS = 2
WARM_UP = 5
READY_S = 3.0


def measure(plan: Plan) -> list[Goal]:
    waits: dict[str, list[list[float]]] = {}
    idle: dict[str, list[tuple[float, float]]] = {}
    rounds = min(plan.rounds, MOST_ROUNDS)
    for number in range(1, rounds + 1):
        report.say(f"latency, round {number} of {rounds}")
        dsn = plan.server.fresh_database("raw")
        waits.setdefault("raw SQL, insert-notify-claim", []).append(
            round_trips(dsn, count=plan.latency_jobs, pause_s=PAUSE_S)
        )
        for system in systems.awaited(plan.server, plan.peers):
            found, cpu = _latencies(plan, system)
            waits.setdefault(system.name, []).append(found)
            idle.setdefault(system.name, []).append(cpu)
    _print(plan, waits, idle)
    return _goals(waits, idle)


def _latencies(plan: Plan, system: System) -> tuple[list[float], tuple[float, float]]:
    """Waits in ms, and the CPU of worker and PostgreSQL in percent of a core while nothing happens."""
    system.prepare()
    with product.processes() as processes:
        system.start_workers(processes, 1)
        time.sleep(READY_S)
        system.trickle(WARM_UP)
        product.wait_until(lambda: processes.count() >= WARM_UP, f"{system.name}: warm-up")
        warm = len(starts.read(processes.starts))
        submitted = system.trickle(plan.latency_jobs)
        product.wait_until(
            lambda: processes.count() >= warm + plan.latency_jobs, f"{system.name}: jobs start"
        )
        started = starts.read(processes.starts)[warm:]
        idle = _idle(plan, processes.pids)
    waits = [(at - submitted[key]) * 1000 for key, at in started]
    report.say(f"  {system.name}: p50 {_at(waits, 50):.2f} ms, p99 {_at(waits, 99):.2f} ms")
    return waits, idle


def _idle(plan: Plan, pids: list[int]) -> tuple[float, float]:
    time.sleep(1)
    with Sampler(every_s=plan.idle_s, worker=pids, postgres=[plan.server.pid]) as sampler:
        time.sleep(plan.idle_s)
    shares = []
    for usage in (sampler.usage["worker"], sampler.usage["postgres"]):
        shares.append(usage.spent_s / (usage.samples[-1].at - usage.samples[0].at) * 100)
    return shares[0], shares[1]


def _at(waits: Sequence[float], percent: int) -> float:
    return report.percentile(waits, percent)


def _over_rounds(rounds: list[list[float]], percent: int) -> float:
    return statistics.median(_at(waits, percent) for waits in rounds)


def _print(
    plan: Plan, waits: dict[str, list[list[float]]], idle: dict[str, list[tuple[float, float]]]
) -> None:
    rows: list[list[object]] = []
    for name, rounds in waits.items():
        found: list[object] = [_over_rounds(rounds, percent) for percent in (50, 95, 99)]
        found.append(max(max(waits) for waits in rounds))
        cpu: list[object] = ["-", "-"]
        if name in idle:
            cpu = [float(statistics.median(pair[side] for pair in idle[name])) for side in (0, 1)]
        rows.append([name, *found, *cpu])
    report.table(
        f"Idle latency: {plan.latency_jobs} jobs, {len(waits['SmartQueue'])} round(s), medians of each",
        ["system", "p50 ms", "p95 ms", "p99 ms", "max ms", "idle CPU worker %", "idle CPU PostgreSQL %"],
        rows,
    )


def _goals(waits: dict[str, list[list[float]]], idle: dict[str, list[tuple[float, float]]]) -> list[Goal]:
    own = waits["SmartQueue"]
    p50, p99 = _over_rounds(own, 50), _over_rounds(own, 99)
    cpu = statistics.median(pair[0] for pair in idle["SmartQueue"])
    goals = [
        Goal("submit to start, p50", p50, 3, " ms"),
        Goal("submit to start, p99", p99, 6, " ms"),
        Goal("idle worker", cpu, 1, " % of a core"),
    ]
    peers = [rounds for name, rounds in waits.items() if name in idle and name != "SmartQueue"]
    if peers:
        for percent, figure in ((50, p50), (99, p99)):
            best = min(_over_rounds(rounds, percent) for rounds in peers)
            goals.append(Goal(f"submit to start p{percent}, ratio to the best peer", figure / best, 1))
    return goals
