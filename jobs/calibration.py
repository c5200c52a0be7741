"""How far estimated starts are off, learned from starts: the correction of their intervals. Pure: no Django, no clock.

The queue that was played forward knows nothing of later arrivals and of what predictions get wrong. So the ends of its
intervals are moved by quantiles of how far recent starts lay from them, as a factor, apart for near and far starts
(split conformal prediction over a window). Which quantile is taken follows the misses at each end online, so that in
the long run one start in ten falls below the interval and one above, also while the world changes (adaptive conformal
inference: Gibbs and Candès, NeurIPS 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

from jobs.simulation import Interval, Times

BOUNDS_S = (1.0, 5.0, 30.0, 180.0, 1800.0)
BUCKETS = len(BOUNDS_S) + 1
MISS = 0.1  # at each end
STEP = 0.004
LEAST_MISS, MOST_MISS = 0.02, 0.35
WINDOW = 500
# Added before a logarithm is taken: below that, differences are those of polls and clocks.
FLOOR_S = 0.25
FURTHEST_S = 10 * 365 * 86_400.0
# How much intervals are believed to err before anything is learned: gives way to the first real starts.
BELIEVED = 20
BELIEVED_SPREAD = 0.7
_NORMAL = NormalDist()


def bucket(middle_s: float) -> int:
    """Which correction concerns a start that is estimated so many seconds from now."""
    return sum(middle_s >= bound for bound in BOUNDS_S)


@dataclass(frozen=True, slots=True)
class Shift:
    """What is added to the logarithms of the low end, the middle and the high end."""

    low: float
    middle: float
    high: float

    def applied(self, raw: Interval) -> Interval:
        """The corrected interval, in order and not before now."""
        low, middle, high = (
            min(max(math.exp(_log(end) + shift) - FLOOR_S, 0.0), FURTHEST_S)
            for end, shift in zip(raw, (self.low, self.middle, self.high), strict=True)
        )
        low = min(low, high)
        return Interval(low, min(max(middle, low), high), high)

    def applied_to_both(self, raw: Times) -> Times:
        """The corrected start, and the finish moved along with it."""
        start = self.applied(raw.start)
        moved = (
            max(finish + after - before, after)
            for finish, before, after in zip(raw.finish, raw.start, start, strict=True)
        )
        return Times(start, Interval(*sorted(moved)))


@dataclass(slots=True)
class Correction:
    """Of one bucket. `low`, `middle`, `high`: how far the latest starts lay from each, as logarithms, oldest first;
    `low_miss` and `high_miss`: which quantiles are taken; `seen`: starts since ever."""

    low: list[float] = field(default_factory=list)
    middle: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    low_miss: float = MISS
    high_miss: float = MISS
    seen: int = 0

    @property
    def shift(self) -> Shift:
        return Shift(
            low=-_quantile([-value for value in _believed(self.low, MISS)], 1 - self.low_miss),
            middle=_quantile(_believed(self.middle, 0.5), 0.5),
            high=_quantile(_believed(self.high, 1 - MISS), 1 - self.high_miss),
        )

    def learn(self, raw: Interval, waited_s: float, below: bool, above: bool) -> None:
        """A job started after `waited_s`; `below`, `above`: outside of the interval that it had been given."""
        at = _log(waited_s)
        for values, end in zip((self.low, self.middle, self.high), raw, strict=True):
            values.append(at - _log(end))
            del values[:-WINDOW]
        self.low_miss = _held(self.low_miss + STEP * (MISS - below))
        self.high_miss = _held(self.high_miss + STEP * (MISS - above))
        self.seen += 1


def _believed(values: Sequence[float], share: float) -> list[float]:
    """Where little was seen: with starts around an end that is right, which has `share` of them below it."""
    rest = BELIEVED - len(values)
    right = _NORMAL.inv_cdf(share)
    even = ((place + 0.5) / rest for place in range(rest))
    return [*values, *((_NORMAL.inv_cdf(one) - right) * BELIEVED_SPREAD for one in even)]


def _quantile(values: Sequence[float], share: float) -> float:
    """The least of `values` that the next one stays below with this probability, if it is one of their kind."""
    place = math.ceil((len(values) + 1) * share)
    return sorted(values)[min(place, len(values)) - 1]


def _log(seconds: float) -> float:
    return math.log(max(seconds, 0.0) + FLOOR_S)


def _held(miss: float) -> float:
    return min(max(miss, LEAST_MISS), MOST_MISS)
