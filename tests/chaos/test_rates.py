from __future__ import annotations

import pytest

from bench.chaos import rates

TEN_A_SECOND = [number / 10 for number in range(600)]


def after_an_outage(begin: float, end: float) -> list[float]:
    return [moment for moment in TEN_A_SECOND if not begin <= moment < end]


def test_rate_of_a_window() -> None:
    assert rates.per_second(TEN_A_SECOND, 20, 5) == pytest.approx(10)


def test_recovery_begins_where_the_rate_is_back() -> None:
    ends = after_an_outage(20, 33)
    waited = rates.recovered_after(ends, fault_over=30, until=60, before=10, window_s=5)
    assert waited == pytest.approx(3, abs=0.3)


def test_no_recovery_before_the_end_is_none() -> None:
    ends = after_an_outage(20, 58)
    assert rates.recovered_after(ends, fault_over=30, until=60, before=10, window_s=5) is None
