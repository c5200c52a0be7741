"""`python -m bench.predict.timing`: what a prediction and a training cost; one line per goal.

A durable PostgreSQL of its own for what is served; trainings in processes of their own. `--quick` is for a look,
not for results. Exit code 1 when a goal is short.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import cluster, product, report
from bench.goals import Goal, conclude
from bench.peers.venv import PeersMissing, python_with
from bench.predict import serving

TORCH = Path(__file__).with_name("torch.txt")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
ROUNDS = 3
PARTS = ("serving", "training", "steps")

ONE_MS, NETWORK_MS, BATCH_S = 2.0, 0.3, 1.0
TRAINING_S, TRAINING_MIB = 120.0, 1024.0
STEP_RATIO = 1.3


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))  # so that nothing is left behind
    options = _options()
    print(f"SmartQueue predictions, their cost: {report.machine()}", flush=True)
    goals: list[Goal] = []
    for part in options.only or PARTS:
        goals += {"serving": _serving, "training": _training, "steps": _steps}[part](options.quick)
    conclude(goals)


def _serving(quick: bool) -> list[Goal]:
    with cluster.running() as server:
        product.use(server)
        try:
            found = serving.measure(quick)
        finally:
            product.release()
    batch = f"{found.batch:,} in a batch, median"
    report.table(
        f"Predictions, {found.asked:,} asked for one by one; {found.executions:,} executions known",
        ["what", "p50 ms", "p99 ms"],
        [
            ["one at submit, database read included", *_percentiles(found.one_ms)],
            ["the network alone", *_percentiles(found.network_ms)],
            [batch, *_percentiles(found.batch_ms)],
        ],
    )
    print(f"\nAnswered by a prediction on the way of a submission: {found.answered:.0%} of the batch")
    return [
        Goal("one prediction at submit, median", statistics.median(found.one_ms), ONE_MS, " ms"),
        Goal("the network alone, median", statistics.median(found.network_ms), NETWORK_MS, " ms"),
        Goal(batch, statistics.median(found.batch_ms) / 1000, BATCH_S, " s"),
    ]


def _training(quick: bool) -> list[Goal]:
    count = 5_000 if quick else 100_000
    report.say(f"training on {count:,} executions")
    (found,) = _json([sys.executable, "-m", "bench.predict.training_cost", str(count)])
    report.table(
        f"Training on {count:,} executions, default settings, a process of its own",
        ["making examples s", "training s", "CPU s", "peak MiB"],
        [[found[name] for name in ("telling_s", "training_s", "cpu_s", "peak_mib")]],
    )
    seconds = found["telling_s"] + found["training_s"]
    return [
        Goal(f"training on {count:,} executions", seconds, TRAINING_S, " s"),
        Goal("training, peak memory", found["peak_mib"], TRAINING_MIB, " MiB"),
    ]


def _steps(quick: bool) -> list[Goal]:
    """Both in turn, round by round: neither has the machine's better moments to itself."""
    report.say("installing PyTorch for the bench where it is not yet (bench/predict/torch.txt)")
    try:
        torch = python_with(TORCH, "torch")
    except PeersMissing as error:
        print(f"PyTorch is LEFT OUT: {error}")
        return []
    repeats = "30" if quick else "200"
    rounds = []
    for number in range(1, 1 + (1 if quick else ROUNDS)):
        report.say(f"training steps, round {number}")
        ours = _json([sys.executable, "-m", "bench.predict.step_ours", repeats], ONE_THREAD)
        theirs = _json([str(torch), "-m", "bench.predict.step_torch", repeats], ONE_THREAD)
        rounds.append(list(zip(ours, theirs, strict=True)))
    rows, ratios = [], []
    for pairs in zip(*rounds, strict=True):
        ratios.append(statistics.median(ours["ms"] / theirs["ms"] for ours, theirs in pairs))
        times = [statistics.median(pair[side]["ms"] for pair in pairs) for side in (0, 1)]
        rows.append([pairs[0][0]["shape"], *times, ratios[-1]])
    report.table(
        f"A training step on one thread, {len(rounds)} round(s)",
        ["shape", "ours, CPU ms", "PyTorch, CPU ms", "ratio"],
        rows,
    )
    return [Goal("training step, worst ratio to PyTorch's", max(ratios), STEP_RATIO)]


def _json(command: Sequence[str], environment: dict[str, str] | None = None) -> list[dict[str, float]]:
    """What the command prints, one object a line."""
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(product.ROOT)} | (environment or {}),
        cwd=product.ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(command)} ended with {done.returncode}.")
    return [json.loads(line) for line in done.stdout.splitlines()]


def _percentiles(values: Sequence[float]) -> list[float]:
    return [report.percentile(values, percent) for percent in (50, 99)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.predict.timing", description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, help="this part alone; may be repeated")
    parser.add_argument("--quick", action="store_true", help="smaller numbers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
