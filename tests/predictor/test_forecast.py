from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictor.forecast import Arrivals, Load, Policy, expected_arrivals, forecast

MINUTES = 15
IDLE = Load(queued_s=0, work_s=6, slots=4)
POLICY = Policy(target_s=300, slots=4, most=100, utilisation=0.8)


def expected(recent, earlier=()):
    return expected_arrivals(Arrivals(recent, earlier), MINUTES)


def wanted(recent, *, queued_s=0.0, work_s=6.0, slots=4.0, **policy):
    policy = Policy(**{"target_s": 300, "slots": 4, **policy})
    return forecast(Arrivals(recent), Load(queued_s, work_s, slots), policy, MINUTES).workers_wanted


def test_without_history_nothing_arrives_and_one_worker_waits():
    found = forecast(Arrivals(), IDLE, POLICY, MINUTES)
    assert found.arrivals == found.queued_s == (0.0,) * MINUTES
    assert found.workers_wanted == 1


@pytest.mark.parametrize("known", [1, 2, 14, 15, 60])
def test_a_steady_load_goes_on(known):
    assert expected([12] * known) == pytest.approx([12] * MINUTES)


def test_steady_arrivals_by_chance_are_foretold_near_their_mean():
    counts = np.random.default_rng(7).poisson(40, size=(200, 60))
    means = np.array([expected(row).mean() for row in counts])
    assert means.mean() == pytest.approx(40, rel=0.03)
    assert means.std() < 5


def test_bursts_at_intervals_count_by_their_mean():
    found = expected([100 if minute % 5 == 0 else 0 for minute in range(60)])
    assert 10 < found.mean() < 30


def test_growth_goes_on_but_ever_slower():
    found = expected(range(10, 130, 2))
    steps = np.diff(found)
    assert found[0] > 128
    assert np.all(steps > 0)
    assert np.all(np.diff(steps) < 0)
    assert found[-1] < 128 + 2 * MINUTES


def test_a_fall_ends_at_zero():
    found = expected([*range(118, 0, -2), 0])
    assert found.min() == 0
    assert np.all(np.diff(found) <= 0)


def test_a_burst_is_forgotten():
    after = [expected([5] * 30 + [500] + [5] * quiet)[0] for quiet in (0, 5, 15, 29)]
    assert after == sorted(after, reverse=True)
    assert after[0] > 50
    assert after[-1] == pytest.approx(5, abs=4)


def day(before, after):
    return [before] * 60 + [after] * MINUTES


def test_what_happened_on_earlier_days_at_this_time_will_happen_today():
    assert expected([10] * 60, [day(10, 60)] * 2) == pytest.approx([60] * MINUTES)
    assert expected([0] * 60, [day(0, 1000)] * 3) == pytest.approx([1000] * MINUTES)
    assert expected([60] * 60, [day(60, 10)] * 2) == pytest.approx([10] * MINUTES, rel=0.01)


def test_one_earlier_day_says_nothing_yet():
    assert expected([10] * 60, [day(10, 60)]) == pytest.approx([10] * MINUTES)


def test_a_day_unlike_the_others_is_outvoted():
    assert expected([10] * 60, [day(10, 9000), day(10, 20), day(10, 20)]) == pytest.approx(
        [20] * MINUTES, rel=0.01
    )


def test_a_quiet_day_stays_quiet_and_a_busy_one_keeps_its_lead():
    earlier = [day(100, 300)] * 5
    assert expected([0] * 60, earlier).max() < 2
    assert expected([150] * 60, earlier) == pytest.approx([350] * MINUTES)
    assert expected([1] * 60, [day(0, 300)] * 5) == pytest.approx([301] * MINUTES)


def test_the_backlog_grows_by_what_the_slots_cannot_do():
    found = forecast(Arrivals([60] * 30), Load(queued_s=100, work_s=6, slots=4), POLICY, MINUTES)
    assert found.queued_s == pytest.approx([100 + minute * (360 - 240) for minute in range(1, MINUTES + 1)])


def test_the_backlog_ends_at_zero():
    found = forecast(Arrivals([10] * 30), Load(queued_s=300, work_s=6, slots=4), POLICY, MINUTES)
    assert found.queued_s == pytest.approx([120] + [0] * (MINUTES - 1))


def test_workers_for_a_steady_load():
    """60 jobs a minute of 6 s each keep 6 slots busy, 7.5 at 80 %: two workers of four slots."""
    assert wanted([60] * 30, slots=8) == 2
    assert wanted([600] * 30, slots=80) == math.ceil(60 / 0.8 / 4)


def test_a_backlog_asks_for_enough_to_end_it_within_the_target():
    assert wanted([0] * 30, queued_s=6000, slots=4) == 6000 / 300 / 4
    assert wanted([0] * 30, queued_s=6000, slots=4, target_s=60) == 6000 / 60 / 4
    assert wanted([0] * 30, queued_s=1e9, most=7) == 7


def test_workers_that_will_be_done_soon_are_not_sent_away_before():
    assert wanted([0] * 30, queued_s=6000, slots=1000) == wanted([0] * 30, queued_s=6000, slots=4)


def test_without_workers_the_backlog_to_come_counts():
    found = forecast(Arrivals([10] * 30), Load(queued_s=0, work_s=6, slots=0), POLICY, MINUTES)
    assert found.queued_s[-1] == pytest.approx(15 * 60)
    assert found.workers_wanted == math.ceil((15 * 60 / 300 + 1 / 0.8) / 4)


@pytest.mark.parametrize(
    ("field", "arrivals", "load", "policy"),
    [
        ("recent", Arrivals([-1]), IDLE, POLICY),
        ("recent", Arrivals([math.nan]), IDLE, POLICY),
        ("earlier", Arrivals([1], [[1] * MINUTES]), IDLE, POLICY),
        ("queued_s", Arrivals(), Load(math.nan, 1, 1), POLICY),
        ("work_s", Arrivals(), Load(1, math.inf, 1), POLICY),
        ("slots", Arrivals(), Load(1, 1, -1), POLICY),
        ("target_s", Arrivals(), IDLE, Policy(target_s=0)),
        ("most", Arrivals(), IDLE, Policy(most=0)),
        ("utilisation", Arrivals(), IDLE, Policy(utilisation=0)),
    ],
)
def test_what_cannot_be_is_refused_by_name(field, arrivals, load, policy):
    with pytest.raises(ValueError, match=rf"^{field}.*: expected"):
        forecast(arrivals, load, policy, MINUTES)


COUNTS = st.lists(st.floats(0, 1e9), max_size=40)
NUMBERS = st.floats(0, 1e9)


@settings(deadline=None)
@given(COUNTS, st.integers(0, 4), st.randoms(use_true_random=False), NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_never_negative_and_no_less_for_a_longer_queue(recent, days, random, work_s, slots, queued_s, more_s):
    earlier = [[random.uniform(0, 1e6) for _ in range(len(recent) + MINUTES)] for _ in range(days)]
    arrivals = Arrivals(recent, earlier)
    shorter = forecast(arrivals, Load(queued_s, work_s, slots), POLICY, MINUTES)
    longer = forecast(arrivals, Load(queued_s + more_s, work_s, slots), POLICY, MINUTES)
    for found in (shorter, longer):
        assert all(math.isfinite(value) and value >= 0 for value in found.arrivals + found.queued_s)
        assert 1 <= found.workers_wanted <= POLICY.most
    assert longer.workers_wanted >= shorter.workers_wanted
    assert all(more >= less for more, less in zip(longer.queued_s, shorter.queued_s, strict=True))
