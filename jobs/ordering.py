"""The order of the queue as one number per job. Pure: no Django, no clock.

    rank = due + capped(patience x length) - lane credit          (all in seconds)

Smaller goes first, and among equals the job that was submitted first. A rank need not change while its job waits:
a later arrival goes first only if it becomes due before the waiting job's rank (plus the largest credit of a lane).
`capped` keeps that time below the lane's `max_wait`, whatever the prediction: no job goes first that becomes due
more than `max_wait` after it. One column, one index, no mass updates.

Used where jobs are submitted (jobs.drafts) and explained, by the simulation of starts, and by bench.replay.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

HIGH, NORMAL, LOW = "high", "normal", "low"
LANES = (HIGH, NORMAL, LOW)

NEUTRAL_RUNTIME_MS = 3000.0
NEUTRAL_PRIORITY = 0.5

SHORTEST_MS = 1.0
# Swanson's rule: a mean from the 10, 50 and 90 % quantiles. Its order is between the geometric and the harmonic mean's:
# that a job may be short counts for more than that it may be long, because waiting hurts the short ones.
OF_MEDIAN, OF_EACH_END = 0.4, 0.3
ORDER = -0.25


def priority(predicted_ms: float) -> float:
    """The score that people see, 0 to 1, shorter is higher; 3 s gives 0.5."""
    return 1.0 / (1.0 + predicted_ms / NEUTRAL_RUNTIME_MS)


def length_ms(predicted_ms: float | None, low_ms: float | None = None, high_ms: float | None = None) -> float:
    """What a job is ordered by: a mean of what it may take.

    `predicted_ms` is the median, `low_ms` to `high_ms` the 80 % interval. Without an interval it is the median,
    without a prediction the neutral 3 s. A job that is short as a rule and at times very long counts as longer than its
    median, one that is long as a rule and at times very short as shorter.
    """
    if predicted_ms is None:
        return NEUTRAL_RUNTIME_MS
    if low_ms is None or high_ms is None:
        return predicted_ms
    middle = max(predicted_ms, SHORTEST_MS)
    ends = max(min(low_ms, middle), SHORTEST_MS) ** ORDER + max(high_ms, middle) ** ORDER
    return float((OF_MEDIAN * middle**ORDER + OF_EACH_END * ends) ** (1 / ORDER))


class Terms(NamedTuple):
    """What adds up to a rank, in seconds. `due`: Unix time. `predicted`: patience x predicted runtime. `interval`:
    patience x (length - predicted runtime). `lane`: the credit, taken off. `cap`: what `max_wait` takes off, at most 0.
    """

    due: float
    predicted: float
    interval: float
    lane: float
    cap: float

    @property
    def rank(self) -> float:
        return math.fsum(self)


@dataclass(frozen=True, slots=True)
class LaneRule:
    """`patience`: seconds for which a job lets later ones pass, per second of its length. `credit_s`: how far ahead of
    its due time it starts. `max_wait_s`: a job that becomes due more than this later never goes first; infinite: no
    cap."""

    patience: float
    credit_s: float = 0.0
    max_wait_s: float = math.inf


@dataclass(frozen=True)
class Ordering:
    """The rules of all lanes together. Raises ValueError when a lane's `max_wait_s` cannot be kept."""

    lanes: Mapping[str, LaneRule]

    def __post_init__(self) -> None:
        for lane, rule in self.lanes.items():
            if not rule.max_wait_s > self.least_max_wait_s(lane):
                raise ValueError(
                    f"max_wait of lane {lane}: expected more than {self.least_max_wait_s(lane):g} s, by which "
                    f"other lanes' credit is larger, got {rule.max_wait_s:g}"
                )

    def rank(
        self,
        *,
        due_at_s: float,
        lane: str,
        predicted_ms: float | None,
        low_ms: float | None = None,
        high_ms: float | None = None,
    ) -> float:
        """Place in the queue. `due_at_s` is Unix time; the times in milliseconds are those of `length_ms`."""
        return due_at_s + self.head_start(
            lane=lane, predicted_ms=predicted_ms, low_ms=low_ms, high_ms=high_ms
        )

    def head_start(
        self,
        *,
        lane: str,
        predicted_ms: float | None,
        low_ms: float | None = None,
        high_ms: float | None = None,
    ) -> float:
        """The rank less the due time: seconds for which jobs of no length and no credit may pass this one."""
        rule = self.lanes[lane]
        asked = rule.patience * length_ms(predicted_ms, low_ms, high_ms) / 1000.0
        return capped(asked, self._room_s(lane)) - rule.credit_s

    def terms(
        self,
        *,
        due_at_s: float,
        lane: str,
        predicted_ms: float | None,
        low_ms: float | None = None,
        high_ms: float | None = None,
    ) -> Terms:
        """What the rank of the same job is made of."""
        rule = self.lanes[lane]
        predicted = rule.patience * length_ms(predicted_ms) / 1000.0
        asked = rule.patience * length_ms(predicted_ms, low_ms, high_ms) / 1000.0
        cut = capped(asked, self._room_s(lane)) - asked
        return Terms(due_at_s, predicted, asked - predicted, -rule.credit_s, cut)

    def least_max_wait_s(self, lane: str) -> float:
        """How much earlier than a job of `lane` one of the same length and due time can rank for its lane's credit."""
        return max(rule.credit_s for rule in self.lanes.values()) - self.lanes[lane].credit_s

    def _room_s(self, lane: str) -> float:
        """What is left of `max_wait` for a job's length, when a later one has the largest credit and no length."""
        return self.lanes[lane].max_wait_s - self.least_max_wait_s(lane)


def capped(asked_s: float, room_s: float) -> float:
    """As good as `asked_s` while that is small, and never more than `room_s`.

    It bends instead of stopping at `room_s`, where all long jobs would be alike and first come, first served.
    """
    return asked_s / (1.0 + asked_s / room_s)
