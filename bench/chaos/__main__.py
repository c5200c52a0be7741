"""`python -m bench.chaos SCENARIO`, or `all`: one row per scenario and the goals; what was violated as it is found.

Leaves with 1 when a goal is short. Each scenario has a PostgreSQL server of its own.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from bench.chaos import course
from bench.chaos.course import Result, Scale
from bench.chaos.scenarios import SCENARIOS
from bench.goals import conclude
from bench.report import say, table

RATE = 25.0
COLUMNS = ("scenario", "fault s", "jobs", "lost", "twice", "wrong", "re-run",
           "before /s", "after /s", "after/before", "recovered s", "goals")  # fmt: skip


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended on the way out
    scale = course.QUICK if options.quick else course.LONG
    names = list(SCENARIOS) if options.scenario == "all" else [options.scenario]
    results = [_run(name, scale, options.rate) for name in names]
    table(f"Chaos, {options.rate:g} jobs/s, {'short' if options.quick else 'long'} form", COLUMNS,
          [_row(result) for result in results])  # fmt: skip
    conclude([goal for result in results for goal in result.all_goals])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.chaos",
        description="Breaks things under a steady load of jobs, and counts what was lost.",
        epilog="scenarios: " + "; ".join(f"{one.name}: {one.what}" for one in SCENARIOS.values()),
    )
    parser.add_argument(
        "scenario", choices=[*SCENARIOS, "all"], metavar="SCENARIO", help="one of them, or all"
    )
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes per scenario")
    parser.add_argument("--rate", type=float, default=RATE, help="jobs submitted per second (%(default)s)")
    return parser.parse_args()


def _run(name: str, scale: Scale, rate: float) -> Result:
    began = time.monotonic()
    say(f"{name}: {SCENARIOS[name].what}")
    result = course.run(SCENARIOS[name], scale, rate)
    short = [str(goal) for goal in result.all_goals if not goal.met]
    say(f"{name}: {'; '.join(short) or 'ok'} ({time.monotonic() - began:.0f} s)")
    for line in result.evidence:
        say(line)
    return result


def _row(result: Result) -> list[object]:
    recovered = "never" if result.recovered_s is None else f"{result.recovered_s:.1f}"
    return [
        result.scenario.name,
        result.fault_s,
        len(result.book.submitted),
        len(result.book.lost),
        len(result.book.twice),
        len(result.book.wrong),
        result.book.reruns,
        result.before,
        result.after,
        result.after / result.before,
        recovered,
        "ok" if all(goal.met for goal in result.all_goals) else "short",
    ]


if __name__ == "__main__":
    main()
