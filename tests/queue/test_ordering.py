"""Rank and priority: pure numbers."""

from __future__ import annotations

import math

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from jobs import ordering
from jobs.forms import lanes_explained
from jobs.ordering import HIGH, LANES, LOW, NORMAL, LaneRule, Ordering

NOTICEABLE_S = 1e-3  # a rank of today is a float with steps of a quarter of a microsecond

times = st.floats(1.6e9, 2.0e9)
runtimes = st.floats(0, 1e9)
lanes = st.sampled_from(LANES)
patiences = st.floats(0, 1e6)
lane_credits = st.floats(0, 1e6)

Known = tuple[float | None, float | None, float | None]  # predicted, low, high


@st.composite
def orderings(draw: st.DrawFn, capped: bool = True) -> Ordering:
    """Any that can be set."""
    ahead, behind = draw(lane_credits), draw(lane_credits)
    rules = {}
    for lane, credit in zip(LANES, (ahead, 0.0, -behind), strict=True):
        longest = ahead - credit + draw(st.floats(1, 1e7)) if capped else math.inf
        rules[lane] = LaneRule(draw(patiences), credit, longest)
    return Ordering(rules)


@st.composite
def intervals(draw: st.DrawFn) -> Known:
    """A prediction with its interval, one without, or none at all."""
    low, middle, high = sorted(draw(st.tuples(runtimes, runtimes, runtimes)))
    return draw(st.sampled_from([(middle, low, high), (middle, None, None), (None, None, None)]))


def rank_of(rules: Ordering, at: float, lane: str, known: Known) -> float:
    predicted, low, high = known
    return rules.rank(due_at_s=at, lane=lane, predicted_ms=predicted, low_ms=low, high_ms=high)


@pytest.mark.parametrize(("runtime_ms", "score"), [(0, 1.0), (3000, 0.5), (400, 3000 / 3400), (27_000, 0.1)])
def test_priority(runtime_ms: float, score: float) -> None:
    assert ordering.priority(runtime_ms) == pytest.approx(score)


def test_a_rank_is_due_time_and_patience_less_credit() -> None:
    rules = Ordering({NORMAL: LaneRule(10), HIGH: LaneRule(10, credit_s=300)})
    assert rules.rank(due_at_s=1e9, lane=NORMAL, predicted_ms=2000) == 1e9 + 20
    assert rules.rank(due_at_s=1e9, lane=HIGH, predicted_ms=2000) == 1e9 + 20 - 300
    assert rules.rank(due_at_s=1e9, lane=NORMAL, predicted_ms=None) == 1e9 + 30


def test_the_cap_takes_half_where_all_of_the_room_is_asked_for() -> None:
    rules = Ordering({NORMAL: LaneRule(10, max_wait_s=400), HIGH: LaneRule(10, credit_s=300)})
    assert rules.head_start(lane=NORMAL, predicted_ms=10_000) == pytest.approx(50)
    assert rules.head_start(lane=NORMAL, predicted_ms=1e12) == pytest.approx(100)


def test_the_interval_makes_a_job_longer_or_shorter_than_its_median() -> None:
    assert ordering.length_ms(10_000, 10_000, 1e8) == pytest.approx((0.7 / 10 + 0.3 / 100) ** -4)
    assert ordering.length_ms(10_000, 1, 10_000) == pytest.approx((0.3 / 1 + 0.7 / 10) ** -4)
    assert ordering.length_ms(10_000, 10_000, 10_000) == pytest.approx(10_000)
    assert ordering.length_ms(1000, 5, 50) == ordering.length_ms(1000, 5, 1000)
    assert ordering.length_ms(1000, None, 10_000) == ordering.length_ms(1000) == 1000
    assert ordering.length_ms(0, 0, 0) == ordering.SHORTEST_MS


@given(orderings(), times, st.floats(0, 1e8), lanes, lanes, intervals(), intervals())
def test_no_job_goes_first_that_comes_later_than_the_longest_wait(
    rules: Ordering,
    at: float,
    later: float,
    lane: str,
    other: str,
    known: Known,
    of_other: Known,
) -> None:
    due = at + rules.lanes[lane].max_wait_s + NOTICEABLE_S + later
    assert rank_of(rules, at, lane, known) < rank_of(rules, due, other, of_other)


@given(orderings(), times, lanes)
def test_the_longest_wait_is_no_longer_than_it_must_be(rules: Ordering, at: float, lane: str) -> None:
    """The longest job there is, against one of no length in lane high that comes just in time."""
    if rules.lanes[lane].patience < 1:
        return
    waiting = rules.rank(due_at_s=at, lane=lane, predicted_ms=1e18)
    due = at + rules.lanes[lane].max_wait_s * 0.99
    assert rules.rank(due_at_s=due, lane=HIGH, predicted_ms=0) < waiting + NOTICEABLE_S


@given(orderings(capped=False), times, runtimes, lanes, intervals())
def test_without_a_cap_the_wait_is_bounded_by_length_and_credit(
    rules: Ordering,
    at: float,
    runtime_ms: float,
    lane: str,
    of_later: Known,
) -> None:
    waiting = rules.rank(due_at_s=at, lane=NORMAL, predicted_ms=runtime_ms)
    bound = at + rules.lanes[NORMAL].patience * runtime_ms / 1000 + rules.lanes[HIGH].credit_s
    assert rank_of(rules, bound + NOTICEABLE_S, lane, of_later) >= waiting


@given(orderings(), times, lanes, st.lists(runtimes, min_size=6, max_size=6))
def test_shorter_goes_first_at_the_same_time(rules: Ordering, at: float, lane: str, ms: list[float]) -> None:
    one, other = sorted(ms[:3]), sorted(ms[3:])
    shorter = tuple(min(pair) for pair in zip(one, other, strict=True))
    low, middle, high = shorter
    ranks = [
        rank_of(rules, at, lane, (middle, low, high)),
        rank_of(rules, at, lane, (one[1], one[0], one[2])),
    ]
    assert ranks[0] <= ranks[1] + NOTICEABLE_S


@given(orderings(), st.tuples(times, times), lanes, intervals())
def test_older_goes_first_of_two_that_are_alike(
    rules: Ordering,
    at: tuple[float, float],
    lane: str,
    known: Known,
) -> None:
    older, newer = (rank_of(rules, due, lane, known) for due in sorted(at))
    assert older <= newer
    assert older < newer or max(at) - min(at) < NOTICEABLE_S


@given(orderings(), times, lanes, intervals())
def test_terms_add_up_to_the_rank(rules: Ordering, at: float, lane: str, known: Known) -> None:
    predicted, low, high = known
    terms = rules.terms(due_at_s=at, lane=lane, predicted_ms=predicted, low_ms=low, high_ms=high)
    assert terms.rank == pytest.approx(rank_of(rules, at, lane, known), rel=1e-12, abs=1e-3)
    assert terms.due == at
    assert terms.lane == -rules.lanes[lane].credit_s
    assert terms.cap <= 0
    assert (terms.interval == 0) or low is not None


@given(orderings(), times, lanes, lanes, intervals())
def test_lanes_are_no_walls(
    rules: Ordering,
    at: float,
    lane: str,
    other: str,
    known: Known,
) -> None:
    """Whatever waits goes before all that comes late enough, also a long job of lane low before lane high."""
    predicted, low, high = known
    start = rules.head_start(lane=lane, predicted_ms=predicted, low_ms=low, high_ms=high)
    assert math.isfinite(start)
    due = at + start + rules.lanes[other].credit_s + 1
    assert rank_of(rules, at, lane, known) < rules.rank(due_at_s=due, lane=other, predicted_ms=0)


def test_a_longest_wait_that_a_credit_breaks_is_refused() -> None:
    high = LaneRule(1, credit_s=300, max_wait_s=10)
    Ordering({HIGH: high, NORMAL: LaneRule(1, max_wait_s=301)})
    with pytest.raises(ValueError, match="lane normal: expected more than 300 s"):
        Ordering({HIGH: high, NORMAL: LaneRule(1, max_wait_s=300)})
    with pytest.raises(ValueError, match="lane low: expected more than 400 s"):
        Ordering({HIGH: high, LOW: LaneRule(1, credit_s=-100, max_wait_s=400)})


def test_people_are_told_what_the_lanes_do() -> None:
    assert lanes_explained(settings.ORDERING) == (
        "Lane high starts 1 h ahead in the queue and is passed by no job that comes 4 h later; "
        "lane low starts 1 h behind."
    )
    without = Ordering({HIGH: LaneRule(1, credit_s=60), LOW: LaneRule(1, credit_s=-120)})
    assert (
        lanes_explained(without) == "Lane high starts 1 min ahead in the queue; lane low starts 2 min behind."
    )


def test_lanes_mean_something_by_default() -> None:
    """Of jobs submitted together, the longest of lane high goes before one of normal that takes five seconds, and the
    shortest of lane low after one that takes a second."""
    rules: Ordering = settings.ORDERING
    day_ms = 86_400_000.0
    high, five_s, second, low = (
        rules.rank(due_at_s=0, lane=lane, predicted_ms=ms)
        for lane, ms in ((HIGH, day_ms), (NORMAL, 5000), (NORMAL, 1000), (LOW, 0))
    )
    assert high < five_s
    assert second < low
