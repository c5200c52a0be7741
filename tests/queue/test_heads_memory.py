"""The memory of a worker by itself: what it chooses to look at, and that nothing is forgotten or kept for nothing."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.fairness import Shares
from jobs.heads import (
    BUSY,
    CLOSED,
    EVERYTHING,
    FEW_FLOWS,
    LEAST_ASIDE_S,
    MOST_FLOWS,
    MOST_OTHERS,
    ORG,
    PAUSED,
    QUEUE,
    Choice,
    Heads,
    Seen,
)

SNAPSHOT = "100:100:"


def known(*flows: Seen) -> Heads:
    heads = Heads(Shares(1e12))
    heads.look_at_all(flows, SNAPSHOT)
    return heads


def answer(heads: Heads, choice: Choice, *looked_at: Seen, now: float = 0.0, **said: Any) -> None:
    told: dict[str, Any] = {"arrived": [], "opened": [], "took": 0} | said
    heads.remember(choice, looked_at=looked_at, snapshot=SNAPSHOT, now=now, **told)


def flows(count: int, *, org: int = 1) -> list[Seen]:
    return [Seen(number, org, "q", 1.0, float(number)) for number in range(1, count + 1)]


def test_the_best_ranks_of_the_organisation_whose_turn_it_is() -> None:
    heads = known(*flows(100), Seen(200, 2, "q", 1.0, 5.5))
    heads.shares.charge(1, 10.0)
    choice = heads.choose(1, now=0.0)
    assert choice.flows == [200, 1, 2, 3, 4]
    assert dict(zip(choice.orgs, choice.places, strict=True)) == pytest.approx({1: 10.0, 2: 0.0}, abs=0.001)


def test_a_claim_looks_at_no_more_flows_than_it_wants_jobs() -> None:
    heads = known(*flows(100))
    assert [len(heads.choose(limit, 0.0).flows) for limit in (1, 20, 500)] == [FEW_FLOWS, 20, MOST_FLOWS]


def test_flows_that_a_limit_closed_are_not_looked_at_until_their_gate_opens() -> None:
    heads = known(*flows(3))
    choice = heads.choose(8, 0.0)
    answer(
        heads, choice, *[Seen(n, 1, "q", 1.0, float(n), CLOSED, closed_by=7) for n in (1, 2)], *flows(3)[2:]
    )
    assert heads.choose(8, 0.0).flows == [3]
    answer(heads, heads.choose(8, 0.0), *flows(3)[2:], opened=[9])
    assert not heads.more
    answer(heads, heads.choose(8, 0.0), *flows(3)[2:], opened=[7])
    assert heads.more
    assert heads.choose(8, 0.0).flows == [1, 2, 3]


def test_a_flow_that_a_rate_closed_opens_by_itself() -> None:
    heads = known(*flows(1))
    answer(heads, heads.choose(8, 10.0), Seen(1, 1, "q", 1.0, 1.0, CLOSED, 7, opens_in_s=5.0), now=10.0)
    assert heads.opens_at == 15.0
    assert heads.choose(8, 14.9).flows == []
    assert heads.choose(8, 15.0).flows == [1]
    assert heads.opens_at is None


def test_the_end_of_a_pause_opens_everything() -> None:
    heads = known(*flows(2))
    paused, closed = Seen(1, 1, "q", 1.0, 1.0, PAUSED), Seen(2, 1, "q", 1.0, 2.0, CLOSED, closed_by=7)
    answer(heads, heads.choose(8, 0.0), paused, closed)
    assert heads.choose(8, 0.0).flows == []
    answer(heads, heads.choose(8, 0.0), opened=[EVERYTHING])
    assert heads.choose(8, 0.0).flows == [1, 2]


def test_who_may_not_run_gathers_no_credit() -> None:
    heads = known(Seen(1, 1, "q", 1.0, 1.0), Seen(2, 2, "q", 1.0, 1.0))
    both = heads.choose(8, 0.0)
    answer(heads, both, Seen(1, 1, "q", 1.0, 1.0, CLOSED, closed_by=7), Seen(2, 2, "q", 1.0, 1.0))
    heads.took([(2, 1000.0)] * 5)
    answer(heads, heads.choose(8, 0.0), Seen(2, 2, "q", 1.0, 1.0), opened=[7])
    assert heads.shares.place(1) == pytest.approx(heads.shares.place(2)) == pytest.approx(5.0)


def test_an_arrival_lowers_what_is_remembered_and_never_raises_it() -> None:
    heads = known(*flows(20))
    choice = heads.choose(1, 0.0)
    arrived = [Seen(15, 1, "q", 1.0, -3.0), Seen(16, 1, "q", 1.0, 99.0), Seen(77, 4, "q", 1.0, 0.5)]
    answer(heads, choice, *[Seen(n, 1, "q", 1.0, float(n)) for n in choice.flows], arrived=arrived)
    found = heads.choose(500, 0.0)
    assert dict(zip(found.flows, found.floors, strict=True)) == {
        **{n: float(n) for n in range(1, 21)}, 15: -3.0, 77: 0.5
    }  # fmt: skip


def test_a_flow_without_a_live_job_is_forgotten() -> None:
    heads = known(*flows(2))
    answer(heads, heads.choose(8, 0.0), *flows(2)[1:])
    assert heads.flows == {2}


def test_too_many_others_are_not_named() -> None:
    assert known(*flows(MOST_OTHERS + 1)).choose(1, 0.0).others is not None
    assert known(*flows(MOST_OTHERS + FEW_FLOWS + 1)).choose(1, 0.0).others is None


def test_what_is_no_longer_true_does_not_pile_up() -> None:
    heads = known(*flows(2))
    for turn in range(1000):
        answer(heads, heads.choose(8, 0.0), Seen(1, 1, "q", 1.0, 10.0 + turn), Seen(2, 1, "q", 1.0, 2.0))
    assert len(heads._orgs[1].open["q"].heap) <= 100


def test_what_closes_an_organisation_or_a_queue_closes_all_its_flows_in_one_step() -> None:
    other = Seen(2000, 2, "q0", 1.0, 5.0)
    heads = known(*(Seen(n, 1, f"q{n % 2}", 1.0, float(n)) for n in range(1, 1001)), other)
    answer(heads, heads.choose(1, 0.0), Seen(1, 1, "q1", 1.0, 1.0, CLOSED, 7, QUEUE), other)
    assert all(flow % 2 == 0 for flow in heads.choose(500, 0.0).flows)
    answer(
        heads,
        heads.choose(1, 0.0),
        Seen(2, 1, "q0", 1.0, 2.0, CLOSED, 8, ORG, opens_in_s=3.0),
        other,
        now=10.0,
    )
    assert heads.choose(500, 10.0).flows == [2000]
    assert len([flow for flow in heads.choose(500, 13.0).flows if flow % 2 == 0]) > 30
    answer(heads, heads.choose(1, 13.0), other, opened=[7], now=13.0)
    assert {flow % 2 for flow in heads.choose(500, 13.0).flows} == {0, 1}


def test_what_somebody_holds_is_left_aside_for_moments_and_keeps_its_turn() -> None:
    heads = known(Seen(1, 1, "q", 1.0, 1.0), Seen(2, 2, "q", 1.0, 2.0))
    heads.shares.charge(2, 10.0)
    held, free = Seen(1, 1, "q", 1.0, 1.0, BUSY), Seen(2, 2, "q", 1.0, 2.0)
    answer(heads, heads.choose(1, 0.0), held, free)
    assert heads.choose(1, 0.0).flows == [2]
    assert heads.opens_at == LEAST_ASIDE_S
    assert heads.choose(1, LEAST_ASIDE_S).flows == [1, 2]
    answer(heads, heads.choose(1, LEAST_ASIDE_S), held, free, now=LEAST_ASIDE_S)
    assert heads.opens_at == pytest.approx(3 * LEAST_ASIDE_S)


def test_a_batch_that_the_bound_on_rows_cut_short_is_followed_by_another() -> None:
    heads = known(*flows(60))
    choice = heads.choose(500, 0.0)
    assert choice.quota < 500
    answer(heads, choice, *flows(60), took=92)
    assert heads.more
    answer(heads, heads.choose(500, 0.0), *flows(60), took=0)
    assert not heads.more
