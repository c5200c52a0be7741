"""`python -m bench.predict.training_cost COUNT`: train on COUNT executions and print what that took, as JSON.

A process of its own, so that its peak memory is that of the training.
"""

from __future__ import annotations

import heapq
import json
import math
import resource
import sys
import time

import numpy as np

from predictor.coldstart import JOB_TYPES
from predictor.history import Ask, Run
from predictor.learner import Learner
from predictor.traits import traits_of

ORGS, NAMES = 20, 25  # names of each organisation
GAP_S = 30.0


def main() -> None:
    runs = executions(int(sys.argv[1]), np.random.default_rng(0))
    learner, began = Learner(np.random.default_rng(0)), time.perf_counter()
    tell(learner, runs)
    told = time.perf_counter()
    if learner.retrain() is None:
        raise SystemExit(f"bench: {len(runs)} executions were too few to train on.")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "telling_s": told - began,
        "training_s": time.perf_counter() - told,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }
    print(json.dumps(found))


def tell(learner: Learner, runs: list[Run]) -> None:
    """All of it, in order of time."""
    going: list[tuple[float, int, int]] = []
    for number, run in enumerate(runs):
        while going and going[0][0] <= run.ask.at:
            _, ticket, ended = heapq.heappop(going)
            learner.ended(ticket, runs[ended])
        heapq.heappush(going, (run.ended_at, learner.ask(run.ask), number))
    for _, ticket, ended in sorted(going):
        learner.ended(ticket, runs[ended])


def executions(count: int, rng: np.random.Generator) -> list[Run]:
    """A history in order of time: each name has a level of its own, which drifts; some are slower at night."""
    levels = rng.normal(9, 2, (ORGS, NAMES))
    orgs, names = rng.integers(0, ORGS, count), rng.integers(0, NAMES, count)
    noise, times = rng.normal(0, 0.4, count), np.cumsum(rng.exponential(GAP_S, count))
    runs = []
    for org, name, off, at in zip(orgs.tolist(), names.tolist(), noise, times.tolist(), strict=True):
        levels[org, name] += rng.normal(0, 0.02)
        night = 0.5 * (name % 3 == 0) * math.cos(at / 86_400 * 2 * math.pi)
        runtime_ms = math.exp(levels[org, name] + night + off)
        runs.append(Run(_ask(org, name, at), "done", runtime_ms, at + runtime_ms / 1000))
    return runs


def _ask(org: int, name: int, at: float) -> Ask:
    job_name = f"job {name}"
    traits = traits_of(job_name, {"function": "bench.noop", "args": [name]})
    kind = JOB_TYPES[name % len(JOB_TYPES)]
    return Ask(org + 1, kind, job_name, "normal", at, user_id=name % 5 + 1, traits=traits)


if __name__ == "__main__":
    main()
