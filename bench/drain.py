"""Goal 1: how fast one worker process empties a queue of jobs that return at once, beside the peers and raw SQL.

Rate = (jobs - 1) / (last start - first start). Rounds are interleaved, so that a noisy minute hits all.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from bench import product, report, starts, systems
from bench.goals import Goal
from bench.plan import Plan
from bench.raw_sql import claims_per_second
from bench.systems import SmartQueue, System
from bench.usage import Sampler


@dataclass(frozen=True)
class Drained:
    """One system's figures of one round; CPU in seconds per 1,000 jobs, memory in MiB."""

    rate: float
    worker_cpu_s: float
    postgres_cpu_s: float
    peak_mb: float
    peak_sum_mb: float
    processes: int
    others_cores: float


def measure(plan: Plan) -> list[Goal]:
    runs: dict[str, list[Drained]] = {}
    raw: list[float] = []
    for number in range(1, plan.rounds + 1):
        report.say(f"drain, round {number} of {plan.rounds}")
        raw.append(claims_per_second(plan.server.fresh_database("raw"), jobs=plan.raw_jobs, batch=100))
        for system in systems.drained(plan.server, plan.peers):
            runs.setdefault(system.name, []).append(drain(plan, system, workers=1))
        runs.setdefault("SmartQueue, 2 workers", []).append(drain(plan, SmartQueue(), workers=2))
    _print(plan, runs, raw)
    return _goals(runs, raw)


def drain(plan: Plan, system: System, *, workers: int) -> Drained:
    """Fill the queue, start the workers, wait until every job has started, and stop them."""
    count = max(int(plan.jobs * system.share), 100)
    system.prepare()
    system.enqueue(count)
    with product.processes() as processes:
        system.start_workers(processes, workers)
        with Sampler(worker=processes.pids, postgres=[plan.server.pid]) as sampler:
            product.wait_until(lambda: processes.count() >= count, f"{system.name}: {count} jobs start")
        processes.stop()
        noted = starts.read(processes.starts)
    if len(noted) != count:
        report.say(f"{system.name}: {len(noted)} starts of {count} jobs")
    first, last = noted[0][1], noted[-1][1]
    worker, postgres = sampler.usage["worker"], sampler.usage["postgres"]
    drained = Drained(
        rate=(count - 1) / (last - first),
        worker_cpu_s=worker.cpu_between(first, last) / count * 1000,
        postgres_cpu_s=postgres.cpu_between(first, last) / count * 1000,
        peak_mb=worker.peak_mb,
        peak_sum_mb=worker.peak_sum_mb,
        processes=worker.most_processes,
        others_cores=sampler.others_cores,
    )
    report.say(f"  {system.name}, {workers} worker(s): {drained.rate:,.0f} jobs/s")
    return drained


def _print(plan: Plan, runs: dict[str, list[Drained]], raw: list[float]) -> None:
    limit = statistics.median(raw)
    rows: list[list[object]] = [
        [name, *_spread([one.rate for one in found]), f"{_rate(found) / limit:.2f}", *_median(found)]
        for name, found in runs.items()
    ]
    rows.append(["raw SQL, batches of 100", *_spread(raw), "1.00", *["-"] * 6])
    report.table(
        f"Drain: {plan.jobs:,} no-op jobs (slow peers fewer), {plan.rounds} round(s), medians",
        [
            "system",
            "jobs/s",
            "min-max",
            "of raw",
            "CPU s/1,000: worker",
            "PostgreSQL",
            "peak RSS MiB",
            "RSS sum",
            "processes",
            "cores that others used",
        ],
        rows,
    )


def _spread(rates: list[float]) -> tuple[float, str]:
    return statistics.median(rates), f"{min(rates):,.0f}-{max(rates):,.0f}"


def _median(found: list[Drained]) -> list[object]:
    names = ("worker_cpu_s", "postgres_cpu_s", "peak_mb", "peak_sum_mb")
    medians: list[object] = [float(statistics.median(getattr(one, name) for one in found)) for name in names]
    others = statistics.median(one.others_cores for one in found)
    return [*medians, max(one.processes for one in found), float(others)]


def _rate(found: list[Drained]) -> float:
    return statistics.median(one.rate for one in found)


def _goals(runs: dict[str, list[Drained]], raw: list[float]) -> list[Goal]:
    own, two = runs["SmartQueue"], runs["SmartQueue, 2 workers"]
    peers = [found for name, found in runs.items() if not name.startswith("SmartQueue")]
    to_raw = [one.rate / limit for one, limit in zip(own, raw, strict=True)]
    goals = [Goal("drain, share of raw SQL", statistics.median(to_raw), 0.4, at_least=True)]
    if peers:
        best = max(peers, key=_rate)
        ratios = [one.rate / other.rate for one, other in zip(own, best, strict=True)]
        goals.insert(0, Goal("drain, ratio to the best peer", statistics.median(ratios), 1, at_least=True))
    ratios = [both.rate / one.rate for both, one in zip(two, own, strict=True)]
    return [*goals, Goal("drain, two workers to one", statistics.median(ratios), 1, at_least=True)]
