"""When a failed attempt is tried again: exponential backoff, by default with full jitter. Pure.

`scheduler.endings` asks `policy_of` and `delay_s` when an attempt ends. A job may name a policy, or parts of
one; what it leaves open comes from its type, in units of the two settings for all types.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MAX_DELAY_S = 86_400.0
MAX_FACTOR = 100.0

Jitter = Literal["full", "none"]


@dataclass(frozen=True)
class RetryPolicy:
    """Largest delay before the first retry, its growth with each more, and its bound, in seconds."""

    base_s: float
    factor: float = 2.0
    cap_s: float = MAX_DELAY_S
    jitter: Jitter = "full"


@dataclass(frozen=True)
class _Scale:
    base: float = 1.0
    cap: float = 1.0


# A callback is worth asking again soon; what takes minutes to fail is not, and holds a slot each time.
_SCALES = {
    "http": _Scale(base=0.5, cap=0.5),
    "etl": _Scale(base=5.0, cap=2.0),
    "ml": _Scale(base=15.0, cap=6.0),
}


def policy_of(type: str, wanted: Mapping[str, Any] | None, *, base_s: float, cap_s: float) -> RetryPolicy:
    """The job's own policy on top of the default of its type; what makes no sense in it is left out."""
    scale, wanted = _SCALES.get(type, _Scale()), wanted or {}
    jitter = wanted.get("jitter", "full")
    return RetryPolicy(
        base_s=_number(wanted.get("base_s"), 0.0, MAX_DELAY_S, base_s * scale.base),
        factor=_number(wanted.get("factor"), 1.0, MAX_FACTOR, 2.0),
        cap_s=_number(wanted.get("cap_s"), 0.0, MAX_DELAY_S, min(cap_s * scale.cap, MAX_DELAY_S)),
        jitter="none" if jitter in ("none", False) else "full",
    )


def delay_s(policy: RetryPolicy, retry_count: int, rng: random.Random | None = None) -> float:
    """Seconds until the next attempt after `retry_count` retries: at most min(cap, base x factor^n).

    Full jitter (M. Brooker, "Exponential Backoff and Jitter", 2015), uniform from 0 to that, spreads jobs
    that failed together.
    """
    ceiling = min(policy.cap_s, policy.base_s * _power(policy.factor, retry_count))
    return ceiling if policy.jitter == "none" else (rng or random).uniform(0.0, ceiling)


def _power(factor: float, exponent: int) -> float:
    try:
        return factor**exponent
    except OverflowError:
        return math.inf


def _number(value: Any, low: float, high: float, default: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        return default
    return float(value)
