"""The served prediction on the bench: a trace as the product would see it.

tenant: organisation; kind: job type; name: job name; user: who submits; cores: payload; requested time: timeout.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.pool import AsyncResult
from pathlib import Path
from typing import Protocol

import numpy as np

from bench.predict.replay import Forecast, replay
from bench.predict.traces import Floats, Trace, load
from bench.report import say
from predictor.history import Ask, Run
from predictor.learner import Learner
from predictor.traits import traits_of

NAME = "smartqueue"
LANE = "normal"


class Serving(Protocol):
    """What of predictor.learner.Learner is used here."""

    def ask(self, ask: Ask) -> int: ...

    def ended(self, ticket: int, run: Run) -> None: ...

    def predictions(self, tickets: Sequence[int]) -> Floats: ...

    def retrain(self) -> object: ...


@contextmanager
def serving(
    folder: Path, names: Sequence[str], rows: int, seeds: Sequence[int], processes: int
) -> Iterator[dict[tuple[str, int], AsyncResult[Forecast]]]:
    """The replays of every trace with every seed, under way in processes of their own."""
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=1) as pool:
        yield {
            (name, seed): pool.apply_async(replayed, (folder, name, rows, seed))
            for name in names
            for seed in seeds
        }


def replayed(folder: Path, name: str, rows: int, seed: int) -> Forecast:
    """A whole replay of one trace, for a process of its own; says how far it is."""
    trace, began = load(folder, name, rows), time.monotonic()

    def progress(row: int) -> None:
        say(f"{name}, seed {seed}: retrained at row {row:,} after {time.monotonic() - began:.0f} s")

    forecast = served(trace, Learner(np.random.default_rng(seed)), progress)
    say(f"{name}, seed {seed}: {time.monotonic() - began:.0f} s")
    return forecast


def served(trace: Trace, learner: Serving, progress: Callable[[int], None] | None = None) -> Forecast:
    """What it served for each row, retrained as each scored part begins; `progress` hears of each retraining."""
    view, parts = View(trace), set(trace.starts_of_parts)
    tickets: list[int] = []
    for row, news in replay(trace):
        for other in news:
            learner.ended(tickets[other], view.run(other))
        if row in parts:
            learner.retrain()
            if progress:
                progress(row)
        tickets.append(learner.ask(view.ask(row)))
    low, middle, high = np.exp(learner.predictions(tickets).astype(np.float64)).T / 1000
    return Forecast(trace.capped(middle), trace.capped(low), high)


@dataclass
class View:
    """Rows of a trace in the product's words."""

    trace: Trace
    _numbers: dict[Hashable, int] = field(default_factory=dict)

    def ask(self, row: int) -> Ask:
        trace, requested = self.trace, float(self.trace.requested[row])
        name = trace.jobs[row]
        return Ask(
            org_id=self._number(("org", trace.tenants[row])),
            job_type=trace.kinds[row],
            job_name=name,
            lane=LANE,
            at=float(trace.submit[row]),
            user_id=self._number(("user", trace.tenants[row], trace.users[row])),
            timeout_s=requested if requested > 0 else 0.0,
            traits=traits_of(name, self._payload(row)),
        )

    def run(self, row: int) -> Run:
        return Run(
            ask=self.ask(row),
            outcome=self._outcome(row),
            runtime_ms=float(self.trace.runtime[row]) * 1000,
            ended_at=float(self.trace.ended[row]),
        )

    def _payload(self, row: int) -> dict[str, int]:
        cores = self.trace.cores[row]
        return {"cores": int(cores)} if cores > 0 else {}

    def _outcome(self, row: int) -> str:
        """A job that failed at the time that its user asked for was ended by it; unknown outcomes are taken as good."""
        if self.trace.ok[row] != 0:
            return "done"
        return "timeout" if 0 < self.trace.requested[row] <= self.trace.runtime[row] else "failed"

    def _number(self, name: Hashable) -> int:
        return self._numbers.setdefault(name, len(self._numbers) + 1)
