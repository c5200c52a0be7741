"""Predictors that need no training: medians and means of what is known so far.

Each backs off to what is known of more jobs; where nothing is known at all, a minute is expected.
"""

from __future__ import annotations

import math
from bisect import insort
from collections import defaultdict, deque
from collections.abc import Hashable, Sequence

from bench.predict.replay import OneByOne
from bench.predict.traces import Trace

UNKNOWN_S = 60.0
WEIGHT = 0.3  # of the newest run in a decayed mean
NEWEST = 3  # runs that a decayed mean remembers one by one


class GlobalMedian:
    """Of all runs so far."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._sorted: list[float] = []

    def ended(self, row: int) -> None:
        insort(self._sorted, float(self._trace.runtime[row]))

    def ask(self, row: int) -> float:
        return _median(self._sorted) if self._sorted else UNKNOWN_S


class KeyMedian:
    """Of the runs of this user and name so far; else of the user's; else of all."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._sorted: defaultdict[Hashable, list[float]] = defaultdict(list)

    def ended(self, row: int) -> None:
        for key in self._keys(row):
            insort(self._sorted[key], float(self._trace.runtime[row]))

    def ask(self, row: int) -> float:
        known = (self._sorted.get(key) for key in self._keys(row))
        return next((_median(values) for values in known if values), UNKNOWN_S)

    def _keys(self, row: int) -> Sequence[Hashable]:
        return (key_of(self._trace, row), user_of(self._trace, row), ())


class LastTwoOfUser:
    """Mean of the user's last two runs, or of the only one; else the median of all."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._last: defaultdict[Hashable, deque[float]] = defaultdict(lambda: deque(maxlen=2))
        self._all = GlobalMedian(trace)

    def ended(self, row: int) -> None:
        self._all.ended(row)
        self._last[user_of(self._trace, row)].append(float(self._trace.runtime[row]))

    def ask(self, row: int) -> float:
        last = self._last.get(user_of(self._trace, row))
        return sum(last) / len(last) if last else self._all.ask(row)


class DecayedMean:
    """Mean and variance of values of which each weighs WEIGHT against all before it; the first few weigh alike."""

    __slots__ = ("count", "mean", "newest", "variance")

    def __init__(self) -> None:
        self.mean = self.variance = 0.0
        self.count = 0
        self.newest: deque[float] = deque(maxlen=NEWEST)  # newest first

    def add(self, value: float) -> None:
        weight = max(WEIGHT, 1 / (self.count + 1))
        off = value - self.mean
        self.mean += weight * off
        self.variance = (1 - weight) * (self.variance + weight * off * off)
        self.count += 1
        self.newest.appendleft(value)


class Ewma:
    """Decayed mean of the log runtimes of this user and name; else of the user; else of the name; else the
    median of all."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._means: defaultdict[Hashable, DecayedMean] = defaultdict(DecayedMean)
        self._all = GlobalMedian(trace)

    def ended(self, row: int) -> None:
        self._all.ended(row)
        for key in self._keys(row):
            self._means[key].add(math.log(self._trace.runtime[row]))

    def ask(self, row: int) -> float:
        known = (self._means[key].mean for key in self._keys(row) if key in self._means)
        log = next(known, None)
        return self._all.ask(row) if log is None else math.exp(log)

    def _keys(self, row: int) -> Sequence[Hashable]:
        return (key_of(self._trace, row), user_of(self._trace, row), self._trace.jobs[row])


def simple_predictors(trace: Trace) -> dict[str, OneByOne]:
    return {
        "global_median": GlobalMedian(trace),
        "median_un": KeyMedian(trace),
        "last2_user": LastTwoOfUser(trace),
        "ewma_un": Ewma(trace),
    }


def user_of(trace: Trace, row: int) -> tuple[str, str]:
    return trace.tenants[row], trace.users[row]


def key_of(trace: Trace, row: int) -> tuple[str, str, str]:
    return trace.tenants[row], trace.users[row], trace.jobs[row]


def _median(ordered: Sequence[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
