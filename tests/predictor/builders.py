"""Histories and networks for the tests of the predictor."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from predictor.history import DONE, Ask, Book, Past, Run
from predictor.model import Model

NOW = 1_700_000_000.0


def ask(**fields: Any) -> Ask:
    values = {"org_id": 1, "job_type": "etl", "job_name": "nightly", "lane": "normal", "at": NOW}
    return Ask(**{**values, **fields})


def run(
    runtime_ms: float = 1000.0,
    *,
    ago_s: float = 60.0,
    outcome: str = DONE,
    wait_ms: float = 0.0,
    asked: Ask | None = None,
    **fields: Any,
) -> Run:
    """It ended `ago_s` before NOW. `fields` are those of its ask; `asked` is a whole one, as it is."""
    ended_at = NOW - ago_s
    at = ended_at - (runtime_ms + wait_ms) / 1000
    return Run(asked or ask(**{"at": at, **fields}), outcome, runtime_ms, ended_at)


def past(runs: Sequence[Run], asked: Ask | None = None, still_open: Sequence[Ask] = ()) -> Past:
    """What is known at an ask, after these runs in this order."""
    book = Book()
    for entry in runs:
        book.add(entry)
    for ticket, one in enumerate(still_open):
        book.note(ticket, one)
    return book.past(asked or ask())


def replay(runs: Sequence[Run]) -> Iterator[tuple[Run, Past]]:
    """Each run in the order in which they were asked for, with what had ended by then; valid until the next."""
    book, going = Book(), list[tuple[float, int, Run]]()
    for ticket, entry in enumerate(sorted(runs, key=lambda run: run.ask.at)):
        while going and going[0][0] <= entry.ask.at:
            _, ended, other = heapq.heappop(going)
            book.close(ended, other.ask)
            book.add(other)
        yield entry, book.past(entry.ask)
        book.note(ticket, entry.ask)
        heapq.heappush(going, (entry.ended_at, ticket, entry))


def model(
    seed: int = 0, head: float = 0.1, hidden: int = 8, dtype: npt.DTypeLike = np.float32, bias: float = 0.0
) -> Model:
    """A network whose heads are not zero, so that every parameter matters. With `head=0` it puts out `bias`."""
    rng = np.random.default_rng(seed)
    made = Model.initial(rng, hidden, dtype)
    for name in ("head.weight", "head.encoded", "head.dense"):
        made.params[name][...] = rng.normal(scale=head, size=made.params[name].shape)
    made.params["head.bias"][...] = bias
    return made


def alternating_history(count: int = 600, seed: int = 0, org_id: int = 1) -> list[Run]:
    """Two keys whose runtimes swing between two levels, which no median can follow; with some noise."""
    rng = np.random.default_rng(seed)
    runs = []
    for number in range(count):
        level = 1000.0 if (number // 2) % 2 else 8000.0
        runtime_ms = level * (1 + number % 2) * float(np.exp(rng.normal(scale=0.05)))
        runs.append(
            run(
                runtime_ms,
                ago_s=-600.0 * (number + 1),
                wait_ms=50.0,
                org_id=org_id,
                job_type=("etl", "shell")[number % 2],
                job_name=f"job-{number % 2}",
            )
        )
    return runs
