"""Histories and networks for the tests of the predictor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from predictor.features import FEATURES
from predictor.history import DONE, Ask, Past, Run
from predictor.lstm import Network, Shape

NOW = 1_700_000_000.0


def run(runtime_ms: float = 1000.0, *, ago_s: float = 60.0, **fields: object) -> Run:
    values = {"org_id": 1, "job_type": "etl", "job_name": "nightly", "lane": "normal", "outcome": DONE}
    return Run(**{**values, **fields}, runtime_ms=runtime_ms, ended_at=NOW - ago_s)  # type: ignore[arg-type]


def ask(**fields: object) -> Ask:
    values = {"org_id": 1, "job_type": "etl", "job_name": "nightly", "lane": "normal", "at": NOW}
    return Ask(**{**values, **fields})  # type: ignore[arg-type]


def past(runs: Sequence[Run], asked: Ask | None = None) -> Past:
    asked = asked or ask()
    return Past([entry for entry in runs if entry.key == asked.key], runs)


def network(seed: int = 0, head: float = 0.1, **shape: int) -> Network:
    """A network whose head is not zero, so that every parameter matters."""
    rng = np.random.default_rng(seed)
    made = Network.initial(Shape(**{"inputs": len(FEATURES), "hidden": 8, **shape}), rng)
    made.params["head.weight"][...] = rng.normal(scale=head, size=made.params["head.weight"].shape)
    return made


def alternating_history(count: int = 600, seed: int = 0) -> list[Run]:
    """Two keys whose runtimes swing between two levels, which no median can follow; with some noise."""
    rng = np.random.default_rng(seed)
    runs, clock = [], NOW
    for number in range(count):
        level = 1000.0 if (number // 2) % 2 else 8000.0
        runtime_ms = level * (1 + number % 2) * float(np.exp(rng.normal(scale=0.05)))
        clock += 600
        runs.append(
            Run(1, ("etl", "shell")[number % 2], f"job-{number % 2}", "normal", DONE, runtime_ms, clock, 50.0)
        )
    return runs
