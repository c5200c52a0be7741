"""Runtimes as distributions: what a prediction says, and what is left of a job that runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.spread import SHORTEST_S, Z_80, runtime

ms = st.floats(1.0, 1e8)


def test_the_interval_of_a_prediction_is_its_own() -> None:
    found = runtime(10_000, 2_000, 15_000)
    assert [found.at(z) for z in (-Z_80, 0.0, Z_80)] == pytest.approx([2.0, 10.0, 15.0])


def test_what_rests_on_less_is_spread_wider() -> None:
    with_interval, without, guessed = (
        runtime(5000, 4000, 6000),
        runtime(5000),
        runtime(5000, 4000, 6000, learned=False),
    )
    assert with_interval.at(Z_80) < without.at(Z_80) < guessed.at(Z_80)
    assert runtime(None).at(0.0) == 3.0


def test_no_job_outlives_its_time_limit() -> None:
    found = runtime(60_000, 10_000, 600_000, limit_s=100.0)
    assert found.at(3.0) == 100.0
    assert found.left(95.0, 3.0) == pytest.approx(5.0)
    assert found.left(200.0, 0.0) == SHORTEST_S


def test_a_job_that_has_run_long_is_expected_to_run_on() -> None:
    """The longer it has outlived its prediction, the longer it is likely to go on."""
    found = runtime(1000, 800, 1200)
    assert found.left(0.0, 0.0) == pytest.approx(1.0, rel=0.01)
    assert found.left(0.9, 0.0) < found.left(10.0, 0.0) < found.left(100.0, 0.0)


@given(ms, st.floats(1.0, 20.0), st.floats(0.0, 1e5), st.floats(-3, 3))
def test_what_is_left_is_positive_and_grows_with_bad_luck(
    median: float, spread: float, ran: float, z: float
) -> None:
    found = runtime(median, median / spread, median * spread)
    left = found.left(ran, z)
    assert SHORTEST_S <= left < float("inf")
    assert found.left(ran, z + 0.5) >= left - 1e-9
