"""How long a job may run, as a distribution rather than a number. Pure: no Django, no clock.

A predicted median with its 80 % interval is read as a log-normal whose lower and upper half each have a width of
their own. What is left of a running job is that distribution, given what it has run already. Used by the simulation
of the queue and by the estimates that are made of it.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from jobs.fairness import UNKNOWN_S

_NORMAL = NormalDist()
Z_80 = _NORMAL.inv_cdf(0.9)  # an 80 % interval ends so many standard deviations from the median
SHORTEST_S = 0.001
WITHOUT_INTERVAL = 0.55  # a factor of two either way
WITHOUT_HISTORY = 1.25  # a factor of five
WIDEST = 3.0
# A job that outlives nearly all that was predicted is expected to run as long again, whatever the prediction.
OUTLIVED = 0.98


class Runtime(NamedTuple):
    """`below` and `above` are standard deviations of the log on either side of the median."""

    median_s: float
    below: float
    above: float
    limit_s: float = math.inf

    def at(self, z: float) -> float:
        """Seconds that it runs if it comes out `z` standard deviations from the median."""
        width = self.above if z > 0 else self.below
        return min(self.median_s * math.exp(z * width), self.limit_s)

    def left(self, ran_s: float, z: float) -> float:
        """Seconds that it goes on after `ran_s`, if it comes out at `z` among the runs that got so far."""
        most = max(self.limit_s - ran_s, SHORTEST_S)
        share = _NORMAL.cdf(z)
        over = _NORMAL.cdf(self._z(ran_s))
        if over > OUTLIVED:
            return min(ran_s * share / (1.0 - min(share, 0.99)), most)
        whole_s = self.at(_NORMAL.inv_cdf(min(over + share * (1.0 - over), 1.0 - 1e-9)))
        return min(max(whole_s - ran_s, SHORTEST_S), most)

    def _z(self, seconds: float) -> float:
        distance = math.log(max(seconds, SHORTEST_S) / self.median_s)
        width = self.above if distance > 0 else self.below
        return distance / width


def runtime(
    median_ms: float | None,
    low_ms: float | None = None,
    high_ms: float | None = None,
    *,
    learned: bool = True,
    limit_s: float | None = None,
) -> Runtime:
    """From a prediction in milliseconds; without one, what jobs.fairness charges. `learned`: from a history."""
    limit = math.inf if limit_s is None else max(limit_s, SHORTEST_S)
    median_s = UNKNOWN_S if median_ms is None else max(median_ms / 1000.0, SHORTEST_S)
    if median_ms is None or not learned:
        return Runtime(median_s, WITHOUT_HISTORY, WITHOUT_HISTORY, limit)
    if low_ms is None or high_ms is None:
        return Runtime(median_s, WITHOUT_INTERVAL, WITHOUT_INTERVAL, limit)
    return Runtime(median_s, _width(low_ms / 1000.0, median_s), _width(median_s, high_ms / 1000.0), limit)


def _width(low_s: float, high_s: float) -> float:
    distance = math.log(max(high_s, SHORTEST_S) / max(low_s, SHORTEST_S))
    return min(max(distance / Z_80, 0.01), WIDEST)
