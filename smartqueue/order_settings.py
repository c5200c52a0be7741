"""The order of the queue: patience, credit and longest wait of each lane, made into the rules that jobs are ranked by.

Imported by `settings` alone. `jobs.ordering` says what the numbers do; decision 9 in docs/decisions/ how their
defaults were found.
"""

from __future__ import annotations

import math

from django.core.exceptions import ImproperlyConfigured

from jobs.ordering import HIGH, LANES, LOW, NORMAL, LaneRule, Ordering
from smartqueue.env import env_float

__all__ = ["ORDERING", "SHARE_HALF_LIFE_S"]

YEAR_S = 365 * 86_400

_PATIENCE = {HIGH: 500, NORMAL: 3000, LOW: 3000}
_MAX_WAIT_S = {HIGH: 4 * 3600, NORMAL: 3 * 86_400, LOW: 7 * 86_400}
_CREDIT = "SMARTQUEUE_LANE_CREDIT_%s_S"
_MAX_WAIT = "SMARTQUEUE_MAX_WAIT_%s_S"


def _patience(lane: str) -> float:
    return env_float(
        f"SMARTQUEUE_PATIENCE_{lane.upper()}",
        _PATIENCE[lane],
        f"Lane {lane}: seconds for which a job lets later, shorter ones pass, per second of its own expected length. "
        "0: first come, first served.",
        low=0,
        high=1_000_000,
    )


def _max_wait_s(lane: str) -> float:
    """Infinite for 0."""
    seconds = env_float(
        _MAX_WAIT % lane.upper(),
        _MAX_WAIT_S[lane],
        f"Lane {lane}: a job is passed only by jobs that become due within so many seconds after it, whatever the "
        "predictions and lanes; 0: no such limit.",
        low=0,
        high=YEAR_S,
    )
    return seconds or math.inf


def _credits() -> dict[str, float]:
    high = env_float(
        _CREDIT % "HIGH",
        3600,
        "Seconds by which a job of lane high is ahead of one of lane normal.",
        low=0,
        high=YEAR_S,
    )
    low = env_float(
        _CREDIT % "LOW",
        -3600,
        "Seconds by which a job of lane low is ahead of one of lane normal: negative, it is behind.",
        low=-YEAR_S,
        high=0,
    )
    return {HIGH: high, NORMAL: 0.0, LOW: low}


def _ordering() -> Ordering:
    lane_credits = _credits()
    rules = {lane: LaneRule(_patience(lane), lane_credits[lane], _max_wait_s(lane)) for lane in LANES}
    for lane, rule in rules.items():
        least = lane_credits[HIGH] - rule.credit_s
        if rule.max_wait_s <= least:
            raise ImproperlyConfigured(
                f"{_MAX_WAIT % lane.upper()}={rule.max_wait_s:g}: expected more than {least:g} (or 0), since later "
                f"jobs of lane high are so far ahead by {_CREDIT % 'HIGH'}={lane_credits[HIGH]:g} and "
                f"{_CREDIT % 'LOW'}={lane_credits[LOW]:g}."
            )
    return Ordering(rules)


ORDERING = _ordering()
SHARE_HALF_LIFE_S = env_float(
    "SMARTQUEUE_SHARE_HALF_LIFE_S",
    3600,
    "Seconds after which half of what an organisation is ahead of its turn, or received lately, is forgotten.",
    low=1,
    high=YEAR_S,
)
