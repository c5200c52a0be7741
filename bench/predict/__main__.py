"""`python -m bench.predict`: replay real histories and say how well each predictor did; one line per goal.

Exit code 1 when a goal is short. See bench/README.md for what the figures mean; what a prediction costs is
measured by `python -m bench.predict.timing`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.pool import AsyncResult
from pathlib import Path

from bench import report
from bench.goals import conclude
from bench.peers.venv import PeersMissing
from bench.predict import results, smartqueue
from bench.predict.boosting import boosted, boosting_python
from bench.predict.ordering import Queue
from bench.predict.replay import Forecast, answers
from bench.predict.results import Result
from bench.predict.scores import score
from bench.predict.simple import simple_predictors
from bench.predict.traces import DEFAULT_FOLDER, TRACES, Trace, load

ROWS, QUICK_ROWS = 30_000, 3_000
SEEDS, QUICK_SEEDS = (0, 1, 2), (0,)

Served = dict[tuple[str, int], "AsyncResult[Forecast]"]


@dataclass(frozen=True)
class Plan:
    """What to replay; `python` is the one that has gradient boosting, None to leave that out."""

    folder: Path
    names: tuple[str, ...]
    rows: int
    seeds: tuple[int, ...]
    python: Path | None
    processes: int


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))  # so that nothing is left behind
    plan = _plan(_options())
    print(f"SmartQueue predictions, first {plan.rows:,} rows of each trace: {report.machine()}", flush=True)
    found: list[Result] = []
    with smartqueue.serving(plan.folder, plan.names, plan.rows, plan.seeds, plan.processes) as served:
        for name in plan.names:
            found += _replayed(plan, name, served)
    results.print_averages(found)
    conclude(results.goals(found))


def _replayed(plan: Plan, name: str, served: Served) -> list[Result]:
    """Every predictor on one trace."""
    trace = load(plan.folder, name, plan.rows)
    said: dict[tuple[str, int | None], Forecast] = {
        (predictor, None): forecast for predictor, forecast in _others(plan, trace).items()
    }
    for seed in plan.seeds:
        said[smartqueue.NAME, seed] = served[name, seed].get()
    queue = Queue(trace)
    found = [
        Result(name, predictor, seed, score(trace, forecast), queue.gain(forecast.seconds))
        for (predictor, seed), forecast in said.items()
    ]
    results.print_trace(f"{name}: {len(trace):,} jobs, {queue.servers} servers", found)
    return found


def _others(plan: Plan, trace: Trace) -> dict[str, Forecast]:
    simple = answers(trace, simple_predictors(trace))
    found = {name: Forecast(trace.capped(seconds)) for name, seconds in simple.items()}
    if plan.python:
        began = time.monotonic()
        found |= boosted(plan.python, trace, simple["ewma_un"])
        report.say(f"{trace.name}: gradient boosting took {time.monotonic() - began:.0f} s")
    return found


def _plan(options: argparse.Namespace) -> Plan:
    missing = [name for name in options.only if not (options.traces / f"{name}.csv.gz").exists()]
    if missing:
        raise SystemExit(
            f"--traces {options.traces}: expected {missing[0]}.csv.gz there; see bench/README.md"
        )
    rows = options.rows or (QUICK_ROWS if options.quick else ROWS)
    seeds = options.seeds or (QUICK_SEEDS if options.quick else SEEDS)
    python = None if options.no_peers else _boosting()
    return Plan(options.traces, tuple(options.only), rows, tuple(seeds), python, options.processes)


def _boosting() -> Path | None:
    report.say("installing scikit-learn for the bench where it is not yet (bench/predict/boosting.txt)")
    try:
        return boosting_python()
    except PeersMissing as error:
        print(f"Gradient boosting is LEFT OUT: {error}")
        return None


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.predict", description=__doc__)
    parser.add_argument("--traces", type=Path, default=DEFAULT_FOLDER, help="folder of traces (%(default)s)")
    parser.add_argument("--only", type=_names, default=TRACES, help="these traces alone: NAME,...")
    parser.add_argument("--rows", type=_rows, help=f"first rows of each trace ({ROWS})")
    parser.add_argument(
        "--seeds", type=_seeds, help=f"of the served prediction ({','.join(map(str, SEEDS))})"
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS} rows, one seed")
    parser.add_argument("--no-peers", action="store_true", help="without gradient boosting")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="replays at a time (%(default)s)"
    )
    return parser.parse_args()


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _rows(text: str) -> int:
    rows = int(text)
    if rows < 100:
        raise argparse.ArgumentTypeError(f"expected at least 100 rows, got {rows}")
    return rows


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(seed) for seed in text.split(","))


if __name__ == "__main__":
    main()
