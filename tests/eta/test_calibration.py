"""The correction of intervals: in the long run they hold 80 %, whatever the estimates get wrong."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.calibration import BUCKETS, WINDOW, Correction, Shift, bucket
from jobs.simulation import Interval, Times

Raw = Callable[[int], tuple[Interval, float]]


def coverage(stream: Raw, count: int, *, delay: int = 0) -> tuple[float, float, float]:
    """Share of starts inside the corrected interval, below it and above it; learned from `delay` starts later."""
    correction, waiting = Correction(), []
    inside = below = above = 0
    for number in range(count):
        raw, waited_s = stream(number)
        given_to_it = correction.shift.applied(raw)
        is_below, is_above = waited_s < given_to_it.low, waited_s > given_to_it.high
        below, above, inside = below + is_below, above + is_above, inside + (not is_below and not is_above)
        waiting.append((raw, waited_s, is_below, is_above))
        if len(waiting) > delay:
            correction.learn(*waiting.pop(0))
    return inside / count, below / count, above / count


def estimates(dice: random.Random, bias: Callable[[int], float], width: float = 0.3) -> Raw:
    """Starts around an estimate that is off by `bias` (a logarithm), with intervals that are too narrow."""

    def one(number: int) -> tuple[Interval, float]:
        middle = dice.lognormvariate(3.0, 0.5)
        waited_s = middle * math.exp(bias(number) + dice.gauss(0, 0.5))
        return Interval(middle * (1 - width), middle, middle * (1 + width)), waited_s

    return one


STREAMS: dict[str, Callable[[int], float]] = {
    "right": lambda _: 0.0,
    "too early": lambda _: 1.0,
    "too late": lambda _: -1.0,
    "shifts once": lambda number: 1.0 if number > 1500 else -0.5,
    "shifts often": lambda number: 1.0 if number // 300 % 2 else -0.5,
    "drifts": lambda number: number / 1500,
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("delay", [0, 20])
def test_in_the_long_run_eighty_percent_start_inside(name: str, delay: int) -> None:
    dice = random.Random(7)
    inside, below, above = coverage(estimates(dice, STREAMS[name]), 3000, delay=delay)
    assert 0.76 <= inside <= 0.85
    assert 0.06 <= below <= 0.14
    assert 0.06 <= above <= 0.14


def test_it_learns_from_the_first_hundred() -> None:
    dice = random.Random(8)
    correction = Correction()
    stream = estimates(dice, lambda _: 1.5)
    for number in range(100):
        raw, waited_s = stream(number)
        correction.learn(raw, waited_s, below=False, above=False)
    assert correction.shift.middle == pytest.approx(1.5, abs=0.25)
    assert correction.shift.low < correction.shift.middle + 0.5 < correction.shift.high + 1.0


def test_starts_at_once_are_no_exception() -> None:
    """Nothing starts before now: the low end is met from above, and all the misses must not pile up on the other."""
    dice = random.Random(9)
    inside, _, _ = coverage(lambda _: (Interval(0.0, 0.0, 0.0), dice.expovariate(2.0)), 3000)
    assert 0.76 <= inside <= 0.84


def test_what_is_kept_is_bounded() -> None:
    correction = Correction()
    for _ in range(3 * WINDOW):
        correction.learn(Interval(1.0, 2.0, 3.0), 2.5, below=False, above=False)
    assert len(correction.low) == len(correction.middle) == len(correction.high) == WINDOW
    assert correction.seen == 3 * WINDOW


seconds = st.floats(0.0, 1e9)
shifts = st.floats(-50.0, 50.0)


@given(st.tuples(seconds, seconds, seconds), st.tuples(seconds, seconds, seconds), shifts, shifts, shifts)
def test_corrected_times_are_in_order_and_not_before_now(
    start: tuple[float, ...], runs: tuple[float, ...], low: float, middle: float, high: float
) -> None:
    begin = Interval(*sorted(start))
    raw = Times(begin, Interval(*(a + b for a, b in zip(begin, sorted(runs), strict=True))))
    found = Shift(low, middle, high).applied_to_both(raw)
    assert 0.0 <= found.start.low <= found.start.middle <= found.start.high < math.inf
    assert found.start.low <= found.finish.low <= found.finish.middle <= found.finish.high < math.inf


@given(seconds)
def test_every_time_has_a_bucket(middle: float) -> None:
    assert 0 <= bucket(middle) < BUCKETS
    assert bucket(middle) <= bucket(middle * 2 + 1)
