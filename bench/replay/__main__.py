"""`python -m bench.replay`: real histories in the order of SmartQueue, of FIFO, of static priorities and of an oracle.

Virtual time, no database: predictions as they are served, ranks as they are written. One line per goal; exit code 1
when one is short. `--live` plays one trace through a real worker instead. See bench/README.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from bench import report
from bench.goals import conclude
from bench.predict import smartqueue
from bench.predict.ordering import Queue
from bench.predict.replay import Forecast, answers
from bench.predict.simple import simple_predictors
from bench.predict.traces import DEFAULT_FOLDER, TRACES, Floats, Trace, load
from bench.replay import frontier, live, orders, results
from bench.replay.fair import FairQueue
from bench.replay.measures import gain_slowdown, measure, measured
from bench.replay.results import Result, Simple
from jobs.ordering import Ordering
from smartqueue.order_settings import ORDERING, SHARE_HALF_LIFE_S

ROWS, FEWEST_ROWS = 30_000, 100
SEEDS = (0, 1, 2)
LIVE_JOBS, LIVE_S = 300, 90.0
SUFFIX = ".csv.gz"


@dataclass(frozen=True)
class Plan:
    """What to replay, and in which order the product would put it."""

    folder: Path
    names: tuple[str, ...]
    rows: int
    seeds: tuple[int, ...]
    processes: int
    frontier: bool
    fair: bool
    live: bool
    jobs: int
    seconds: float
    rules: Ordering = ORDERING


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))  # so that nothing is left behind
    plan = _plan(_options())
    if plan.live:
        _live(plan)
        return
    print(f"SmartQueue's order, first {plan.rows:,} rows of each trace: {report.machine()}", flush=True)
    found: list[Result] = []
    simple: list[Simple] = []
    points: dict[str, list[frontier.Point]] = {}
    with smartqueue.serving(plan.folder, plan.names, plan.rows, plan.seeds, plan.processes) as served:
        for name in plan.names:
            trace = load(plan.folder, name, plan.rows)
            forecasts = {seed: served[name, seed].get() for seed in plan.seeds}
            queue = Queue(trace, early=False)
            own, by_simple = _compared(plan, trace, queue, forecasts), _simple(trace, queue)
            results.print_trace(f"{name}: {len(trace):,} jobs, {queue.servers} servers", own, by_simple)
            found, simple = found + own, simple + by_simple
            if plan.frontier:
                points[name] = frontier.points(plan.rules, queue, forecasts[plan.seeds[0]])
    if plan.frontier:
        frontier.print_table(points)
    results.print_averages(found, simple)
    conclude(results.goals(found, simple))


def _live(plan: Plan) -> None:
    print(f"SmartQueue's order, live: {report.machine()}", flush=True)
    for name in plan.names:
        live.play(load(plan.folder, name, plan.rows), plan.jobs, plan.seconds)


def _compared(plan: Plan, trace: Trace, queue: Queue, forecasts: dict[int, Forecast]) -> list[Result]:
    keys = {(order, None): found for order, found in orders.fixed_keys(trace, queue).items()}
    served = {
        (order, seed): orders.ranks(rules, queue, forecast)
        for order, rules in (
            (orders.SMARTQUEUE, orders.without_cap(plan.rules)),
            (orders.CAPPED, plan.rules),
        )
        for seed, forecast in forecasts.items()
    }
    yardstick = Queue(trace)
    found = [
        Result(trace.name, order, seed, measure(queue, key), gain_slowdown(yardstick, key))
        for (order, seed), key in (keys | served).items()
    ]
    if plan.fair and len(set(trace.tenants)) > 1:
        for seed, forecast in forecasts.items():
            waits = _fair_waits(trace, queue, forecast, served[orders.CAPPED, seed])
            found.append(Result(trace.name, orders.FAIR, seed, measured(queue, waits)))
    return found


def _fair_waits(trace: Trace, queue: Queue, forecast: Forecast, ranks: Floats) -> Floats:
    numbers = {tenant: number for number, tenant in enumerate(dict.fromkeys(trace.tenants))}
    orgs = [numbers[tenant] for tenant in trace.tenants[queue.first :]]
    return FairQueue(queue, orgs, ranks, forecast.seconds[queue.first :], SHARE_HALF_LIFE_S).waits()


def _simple(trace: Trace, queue: Queue) -> list[Simple]:
    said = answers(trace, simple_predictors(trace))
    return [
        Simple(trace.name, name, queue.gain(trace.capped(seconds)).slowdown) for name, seconds in said.items()
    ]


def _plan(options: argparse.Namespace) -> Plan:
    if options.all and not _all_in(options.traces):
        raise SystemExit(f"--traces {options.traces}: expected files *{SUFFIX} there; see bench/README.md")
    named = tuple(name.removesuffix(SUFFIX) for name in options.trace)
    names = _all_in(options.traces) if options.all else named
    if not names:
        raise SystemExit("expected the name of a trace, or --all; see bench/README.md")
    missing = [name for name in names if not (options.traces / f"{name}{SUFFIX}").exists()]
    if missing:
        raise SystemExit(
            f"--traces {options.traces}: expected {missing[0]}{SUFFIX} there; see bench/README.md"
        )
    chosen = {
        name: getattr(options, name)
        for name in ("rows", "processes", "frontier", "fair", "live", "jobs", "seconds")
    }
    return Plan(folder=options.traces, names=names, seeds=tuple(options.seeds), **chosen)


def _all_in(folder: Path) -> tuple[str, ...]:
    """Those of the README first, in its order."""
    there = sorted(path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}"))
    return (*(name for name in TRACES if name in there), *(name for name in there if name not in TRACES))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description=__doc__)
    parser.add_argument("trace", nargs="*", help="name of a trace in the folder, without .csv.gz")
    parser.add_argument("--all", action="store_true", help="every trace of the folder")
    parser.add_argument("--traces", type=Path, default=DEFAULT_FOLDER, help="folder of traces (%(default)s)")
    parser.add_argument("--rows", type=_rows, default=ROWS, help="first rows of each trace (%(default)s)")
    parser.add_argument("--seed", "--seeds", dest="seeds", type=_seeds, default=SEEDS, help="N,... (0,1,2)")
    parser.add_argument("--frontier", action="store_true", help="ten values of patience, cap on and off")
    parser.add_argument(
        "--fair", action="store_true", help="also with tenants as organisations in fair turns"
    )
    parser.add_argument("--live", action="store_true", help="through a real worker, pressed into --seconds")
    parser.add_argument("--jobs", type=int, default=LIVE_JOBS, help="of each trace, live (%(default)s)")
    parser.add_argument("--seconds", type=float, default=LIVE_S, help="of each trace, live (%(default)s)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="predicted at a time (%(default)s)"
    )
    return parser.parse_args()


def _rows(text: str) -> int:
    rows = int(text)
    if rows < FEWEST_ROWS:
        raise argparse.ArgumentTypeError(f"expected at least {FEWEST_ROWS} rows, got {rows}")
    return rows


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(seed) for seed in text.split(","))


if __name__ == "__main__":
    main()
