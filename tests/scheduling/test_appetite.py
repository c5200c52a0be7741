"""How far a worker claims ahead."""

from __future__ import annotations

from scheduler.appetite import AHEAD_S, MOST, Appetite


def after(took_s: list[float], quiet_s: float = 0.0) -> int:
    appetite = Appetite()
    appetite.wake(100.0)
    appetite.ended(took_s, 100.0)
    return appetite.buffer(100.0 + quiet_s)


def test_nothing_is_known_at_first() -> None:
    appetite = Appetite()
    appetite.wake(100.0)
    assert appetite.buffer(100.0) == 0


def test_slow_jobs_are_not_hoarded() -> None:
    assert after([1.0] * 4) == 0
    assert after([AHEAD_S] * 100) == 0


def test_fast_ones_are_taken_by_the_hundreds_within_a_bound() -> None:
    assert after([0.00001] * 200) > MOST // 2
    assert after([0.0] * 10_000) <= MOST


def test_one_slow_job_among_fast_ones_counts() -> None:
    assert after([0.001] * 200 + [1.0] * 3) < after([0.001] * 203)


def test_silence_counts_as_a_slow_job() -> None:
    assert after([0.00001] * 200, quiet_s=1.0) == 0


def test_who_had_to_give_back_takes_less_for_a_while() -> None:
    appetite = Appetite()
    appetite.ended([0.00001] * 1000, 100.0)
    before = appetite.buffer(100.0)
    appetite.spoiled()
    spoiled = appetite.buffer(100.0)
    appetite.ended([0.00001] * 400, 100.0)
    assert spoiled < appetite.buffer(100.0) < before
