"""Rank and priority: pure numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import ordering

times = st.floats(1.6e9, 2.0e9)
runtimes = st.floats(0, 1e9)


@pytest.mark.parametrize(("runtime_ms", "score"), [(0, 1.0), (3000, 0.5), (400, 3000 / 3400), (27_000, 0.1)])
def test_priority(runtime_ms: float, score: float) -> None:
    assert ordering.priority(runtime_ms) == pytest.approx(score)


@given(times, runtimes, runtimes, st.sampled_from(ordering.LANES))
def test_shorter_predicted_goes_first_at_the_same_time(
    at: float, one: float, other: float, lane: str
) -> None:
    ranks = [ordering.rank(due_at_s=at, predicted_ms=ms, lane=lane, patience=10) for ms in (one, other)]
    assert (ranks[0] <= ranks[1]) == (one <= other) or ranks[0] == ranks[1]


@given(times, runtimes, st.floats(0, 100))
def test_a_later_arrival_overtakes_only_for_a_bounded_time(
    at: float, runtime_ms: float, patience: float
) -> None:
    waiting = ordering.rank(due_at_s=at, predicted_ms=runtime_ms, lane="normal", patience=patience)
    bound = at + patience * runtime_ms / 1000
    later = ordering.rank(due_at_s=bound + 1, predicted_ms=0, lane="normal", patience=patience)
    assert later > waiting


def test_lanes_are_credits() -> None:
    high, normal, low = (
        ordering.rank(due_at_s=0, predicted_ms=0, lane=lane, patience=1) for lane in ordering.LANES
    )
    assert high < normal < low
