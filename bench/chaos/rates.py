"""How fast jobs ended before and after a fault, from the times at which they ended. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

ENOUGH = 0.95
STEP_S = 0.25


def per_second(ends: Sequence[float], begin: float, length: float) -> float:
    """Jobs per second that ended in the `length` seconds from `begin` on; `ends` is sorted."""
    return (bisect_left(ends, begin + length) - bisect_left(ends, begin)) / length


def recovered_after(
    ends: Sequence[float], *, fault_over: float, until: float, before: float, window_s: float
) -> float | None:
    """Seconds from the end of the fault to the first window with the rate of before; None when there is none."""
    begin = fault_over
    while begin + window_s <= until:
        if per_second(ends, begin, window_s) >= ENOUGH * before:
            return begin - fault_over
        begin += STEP_S
    return None
