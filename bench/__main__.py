"""`python -m bench`: every part one after the other on one server, then one line per goal.

Exit code 1 when a goal is short, 0 otherwise. See bench/README.md for what the figures mean.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench import cluster, plan, product, report
from bench.goals import Goal, conclude
from bench.peers.venv import PeersMissing, peers_python

PARTS = ("drain", "latency", "submit_api", "growth", "shares", "fair", "walls", "pressure", "blocked")


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))  # so that nothing is left behind
    options = _options()
    peers = None if options.no_peers else _peers()
    goals: list[Goal] = []
    with cluster.running() as server:
        product.use(server)
        try:
            print(f"SmartQueue bench, {options.size}: {report.machine()}, {server.version()}")
            sizes = plan.make(options.size, server=server, peers=peers)
            for name in options.only or PARTS:
                started = time.monotonic()
                goals += _measure(name, sizes, options.size)
                report.say(f"{name} took {time.monotonic() - started:.0f} s")
        finally:
            product.release()
    conclude(goals)


def _measure(name: str, sizes: plan.Plan, size: str) -> list[Goal]:
    """A part is a module with `measure(plan)`, or a command of its own that exits with 0 when its goals are met."""
    if importlib.util.find_spec(f"bench.{name}") is None:
        report.say(f"{name} is not there")
        return []
    module = importlib.import_module(f"bench.{name}")
    if hasattr(module, "measure"):
        goals: list[Goal] = module.measure(sizes)
        return goals
    quick = ["--quick"] if size in ("tiny", "quick") else []
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", f"bench.{name}", *quick], check=False)
    return [Goal(f"{name}: its own goals", float(done.returncode == 0), 1, at_least=True)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="this part alone; may be repeated")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="size", action="store_const", const="quick", help="under 3 minutes")
    size.add_argument(
        "--full",
        dest="size",
        action="store_const",
        const="full",
        help="10 minutes of pressure, 10 million jobs of history",
    )
    size.add_argument("--tiny", dest="size", action="store_const", const="tiny", help=argparse.SUPPRESS)
    parser.add_argument("--no-peers", action="store_true", help="measure SmartQueue and raw SQL alone")
    parser.set_defaults(size="usual")
    return parser.parse_args()


def _peers() -> Path | None:
    report.say("installing the peers where they are not yet (bench/peers/requirements.txt)")
    try:
        return peers_python()
    except PeersMissing as error:
        print(f"The peers are LEFT OUT: {error}")
        return None


if __name__ == "__main__":
    main()
