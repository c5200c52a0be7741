"""A trace in order of time: nobody is told an outcome before it is known.

Every predictor of this bench is driven from here, so that all of them know the same at each submission.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bench.predict.traces import Floats, Trace


class OneByOne(Protocol):
    """A predictor that learns from each outcome as it becomes known."""

    def ended(self, row: int) -> None: ...

    def ask(self, row: int) -> float:
        """The runtime expected of a job that is submitted now, in seconds."""


@dataclass(frozen=True)
class Forecast:
    """What a predictor said of each job as it was submitted: seconds (N,), and an 80 % interval if it gives one."""

    seconds: Floats
    low: Floats | None = None
    high: Floats | None = None


def replay(trace: Trace) -> Iterator[tuple[int, list[int]]]:
    """Each row as it is submitted, with the rows that have ended since the row before, first ended first."""
    ended = trace.ended
    order = np.lexsort((np.arange(len(trace)), ended))
    known = 0
    for row, now in enumerate(trace.submit):
        news = []
        while known < row and ended[order[known]] <= now:
            news.append(int(order[known]))
            known += 1
        yield row, news


def answers(trace: Trace, predictors: Mapping[str, OneByOne]) -> dict[str, Floats]:
    """What each says of each row (N,), in one pass through the trace."""
    seconds: dict[str, Floats] = {name: np.empty(len(trace)) for name in predictors}
    for row, news in replay(trace):
        for name, predictor in predictors.items():
            for other in news:
                predictor.ended(other)
            seconds[name][row] = predictor.ask(row)
    return seconds
