"""How far the network may be believed, per organisation and type: a comparison that follows live results.

Pure. For each of a few shares of the network's correction, from none (the base alone) to all of it, the
error that predictions would have had is summed up, recent ones weighing more; the share with the least
error is served. The interval is kept honest the same way: where too many runs end outside of it, on the
one side or the other, that side is widened, otherwise it is narrowed (stochastic approximation of a
quantile, after Robbins and Monro). Called by predictor.learner; served from a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
OUTSIDE = 0.1  # of the runs may end below the interval, and as many above it
DECAY = 0.98  # of the sums, per run
_RATE = 0.06  # natural log of a side's width, per run outside
_WIDEST = 5.0
_BORROWED = 20  # runs that the overall comparison counts as, for a new organisation or type
GRACE = 0.1  # natural log: a job that is ended at its time limit takes a little longer than that
_LEAST = 0.01  # distance of the interval's ends from the median, natural log


@dataclass(frozen=True, slots=True)
class Served:
    """Natural logs of milliseconds."""

    low: float
    median: float
    high: float


@dataclass(slots=True)
class Shadow:
    """`errors` per share; `low` and `high`: natural log of the factor on each side of the interval."""

    errors: list[float] = field(default_factory=lambda: [0.0] * len(SHARES))
    low: float = 0.0
    high: float = 0.0
    runs: int = 0

    @property
    def share(self) -> float:
        """The share in force; where several are equally good, the smallest."""
        return SHARES[self.errors.index(min(self.errors))]

    def serve(self, log_base: float, outputs: Sequence[float], log_cap: float = math.inf) -> Served:
        """From the network's outputs (low, median, high, over the base); never above `log_cap`."""
        return self.serve_share(self.share, log_base, outputs, log_cap)

    def serve_share(
        self, share: float, log_base: float, outputs: Sequence[float], log_cap: float = math.inf
    ) -> Served:
        below, middle, above = outputs
        median = min(log_base + share * middle, log_cap)
        low = median + min(below - middle, -_LEAST) * math.exp(self.low)
        high = median + max(above - middle, _LEAST) * math.exp(self.high)
        return Served(low, median, max(min(high, log_cap + GRACE), median))

    def settle(self, truth: float, served: Served, would_be: Sequence[float], *, censored: bool) -> None:
        """`would_be`: what each share would have predicted; a censored truth is a lower bound."""
        for place, guess in enumerate(would_be):
            error = max(truth - guess, 0.0) if censored else abs(truth - guess)
            self.errors[place] = self.errors[place] * DECAY + error
        self.runs += 1
        if not censored:
            self.low = _bounded(self.low + _RATE * ((truth < served.low) - OUTSIDE))
        if not censored or truth > served.high:  # a bound below the end of the interval says nothing of it
            self.high = _bounded(self.high + _RATE * ((truth > served.high) - OUTSIDE))


def would_be(log_base: float, correction: float, log_cap: float = math.inf) -> list[float]:
    """The log prediction with each share of the correction."""
    return [min(log_base + share * correction, log_cap) for share in SHARES]


def _bounded(width: float) -> float:
    return max(-_WIDEST, min(width, _WIDEST))


class Shadows:
    """One `Shadow` per organisation and type. A new one begins where all of them together are.

    `changed`: what was settled since it was last cleared; (0, "") stands for all together.
    """

    def __init__(self) -> None:
        self.overall = Shadow()
        self.changed: dict[tuple[int, str], Shadow] = {}
        self._of: dict[tuple[int, str], Shadow] = {}

    def put(self, org_id: int, job_type: str, shadow: Shadow) -> None:
        if org_id:
            self._of[org_id, job_type] = shadow
        else:
            self.overall = shadow

    def now(self, org_id: int, job_type: str) -> Shadow:
        """As it stands at this moment; later results do not change what is returned."""
        shadow = self._of.get((org_id, job_type)) or self.overall
        return replace(shadow, errors=list(shadow.errors))

    def settle(
        self,
        key: tuple[int, str],
        truth: float,
        served: Served,
        would_be: Sequence[float],
        *,
        censored: bool,
    ) -> None:
        if key not in self._of:
            scale = _weight(_BORROWED) / max(_weight(self.overall.runs), 1.0)
            errors = [error * scale for error in self.overall.errors]
            self._of[key] = Shadow(errors, self.overall.low, self.overall.high)
        for place, shadow in ((key, self._of[key]), ((0, ""), self.overall)):
            shadow.settle(truth, served, would_be, censored=censored)
            self.changed[place] = shadow


def _weight(runs: int) -> float:
    """The sum of the weights of so many runs."""
    return (1 - DECAY**runs) / (1 - DECAY)
