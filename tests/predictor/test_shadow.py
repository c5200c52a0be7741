from __future__ import annotations

import numpy as np
import pytest

from predictor.shadow import GRACE, OUTSIDE, SHARES, Served, Shadow, Shadows, would_be

OUTPUTS = (-0.5, 0.0, 0.5)
KEY = (1, "etl")


def follow(shadow: Shadow, correction: float, truths: list[float], *, censored: bool = False) -> None:
    """Results of jobs whose base is 0 and of which the network says `correction`."""
    outputs = (correction - 0.5, correction, correction + 0.5)
    for truth in truths:
        shadow.settle(truth, shadow.serve(0.0, outputs), would_be(0.0, correction), censored=censored)


def test_nothing_is_believed_before_it_was_compared() -> None:
    assert Shadow().share == 0


@pytest.mark.parametrize("part", SHARES)
def test_the_share_that_predicts_best_is_served(part: float) -> None:
    shadow, rng = Shadow(), np.random.default_rng(1)
    follow(shadow, 2.0, (2.0 * part + rng.normal(scale=0.1, size=100)).tolist())
    assert shadow.share == part
    assert shadow.serve(7.0, (1.0, 2.0, 3.0)).median == pytest.approx(7.0 + 2.0 * part)


def test_a_network_that_is_of_no_use_is_not_believed() -> None:
    shadow = Shadow()
    follow(shadow, 0.0, [1.0, -1.0] * 50)
    assert shadow.share == 0


def test_the_share_follows_a_change_of_the_results() -> None:
    shadow = Shadow()
    follow(shadow, 1.0, [1.0] * 500)
    assert shadow.share == 1
    follow(shadow, 1.0, [0.0] * 60)
    assert shadow.share == 0


def test_a_censored_result_blames_only_what_was_too_low() -> None:
    shadow = Shadow()
    follow(shadow, 1.0, [0.5] * 10, censored=True)
    assert shadow.share == 0.5
    assert shadow.errors == sorted(shadow.errors, reverse=True)
    assert shadow.errors[SHARES.index(1.0)] == 0
    assert (shadow.low, shadow.high, shadow.runs) == (0, 0, 10)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_interval_comes_to_hold_80_percent_of_a_skewed_stream(sign: int) -> None:
    """Its sides begin at half a unit each; the stream has one short and one long tail."""
    rng, shadow, served = np.random.default_rng(5), Shadow(), list[tuple[float, Served]]()
    for truth in (sign * (rng.exponential(2.0, 6000) - 1.0)).tolist():
        answer = shadow.serve(0.0, OUTPUTS)
        shadow.settle(truth, answer, would_be(0.0, 0.0), censored=False)
        served.append((truth, answer))
    later = served[1000:]
    below = np.mean([truth < answer.low for truth, answer in later])
    above = np.mean([truth > answer.high for truth, answer in later])
    assert (below, above) == (pytest.approx(OUTSIDE, abs=0.015), pytest.approx(OUTSIDE, abs=0.015))


def test_the_width_of_a_side_is_bounded() -> None:
    shadow = Shadow()
    follow(shadow, 0.0, [1e6] * 500)
    assert 4 < shadow.high <= 5
    follow(shadow, 0.0, [0.0] * 5000)
    assert -5 <= shadow.high < -4
    assert -5 <= shadow.low < -4


def test_what_is_served_encloses_its_median() -> None:
    for outputs in (OUTPUTS, (0.0, 0.0, 0.0), (1.0, 0.0, -1.0)):
        served = Shadow(low=-5.0, high=-5.0).serve(7.0, outputs)
        assert served.low < served.median < served.high


@pytest.mark.parametrize("cap", [8.0, 6.0, 2.0])
def test_nothing_is_served_above_the_time_limit(cap: float) -> None:
    shadow = Shadow([1.0, 1.0, 1.0, 1.0, 0.0], high=3.0)
    served = shadow.serve(7.0, (0.5, 1.0, 1.5), cap)
    assert served.median == min(cap, 8.0)
    assert served.low < served.median <= served.high <= cap + GRACE
    assert max(would_be(7.0, 2.0, cap)) <= cap


def test_without_a_time_limit_there_is_no_cap() -> None:
    assert would_be(7.0, 2.0) == [7.0, 7.5, 8.0, 8.5, 9.0]
    assert Shadow().serve(7.0, (-1.0, 0.0, 100.0)).high == 107


def settle(shadows: Shadows, key: tuple[int, str], correction: float, truths: list[float]) -> None:
    for truth in truths:
        served = shadows.now(*key).serve(0.0, (correction - 0.5, correction, correction + 0.5))
        shadows.settle(key, truth, served, would_be(0.0, correction), censored=False)


def test_a_new_organisation_begins_where_all_together_are() -> None:
    shadows = Shadows()
    settle(shadows, KEY, 1.0, [1.0] * 300)
    new = shadows.now(2, "etl")
    assert new.share == 1
    assert (new.low, new.high) == (shadows.overall.low, shadows.overall.high)


def test_a_new_organisation_soon_goes_its_own_way() -> None:
    """What it was lent counts as a few runs, however many there have been."""
    shadows = Shadows()
    settle(shadows, KEY, 1.0, [1.0] * 5000)
    settle(shadows, (2, "etl"), 1.0, [0.0] * 30)
    assert shadows.now(2, "etl").share == 0
    assert shadows.now(2, "etl").runs == 30
    assert shadows.now(*KEY).share == 1


def test_types_of_one_organisation_are_compared_apart() -> None:
    shadows = Shadows()
    for _ in range(50):
        settle(shadows, KEY, 1.0, [1.0])
        settle(shadows, (1, "ml"), 1.0, [0.0])
    assert (shadows.now(*KEY).share, shadows.now(1, "ml").share) == (1, 0)


def test_what_was_looked_at_does_not_change_with_later_results() -> None:
    shadows = Shadows()
    settle(shadows, KEY, 1.0, [1.0] * 3)
    before = shadows.now(*KEY)
    errors = list(before.errors)
    settle(shadows, KEY, 1.0, [0.0] * 50)
    assert before.errors == errors
    assert before.runs == 3


def test_what_was_settled_is_told_until_it_is_cleared() -> None:
    shadows = Shadows()
    settle(shadows, KEY, 1.0, [1.0] * 3)
    assert set(shadows.changed) == {KEY, (0, "")}
    assert shadows.changed[KEY].runs == shadows.changed[0, ""].runs == 3
    shadows.changed.clear()
    settle(shadows, (2, "ml"), 1.0, [1.0])
    assert set(shadows.changed) == {(2, "ml"), (0, "")}
