"""The queue played forward: slots, order, fairness and limits, on games with given runtimes."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.game import NO_JOB, Arrival, Flow, Game, Gate, Queue, Running, Waiting
from jobs.simulation import simulate
from jobs.spread import Runtime, runtime

ANY = Runtime(1.0, 0.1, 0.1)
ORG, KEY = "org", "key"


def job(
    number: int, *, flow: int = 1, rank: float | None = None, charge_s: float = 1.0, due_s: float = 0.0
) -> Waiting:
    return Waiting(number, flow, number if rank is None else rank, ANY, charge_s, due_s)


def busy(number: int, *, org: int = 1, group: int | None = 0, gates: Sequence[Hashable] = ()) -> Running:
    return Running(number, org, group, 0.0, ANY, 1.0, tuple(gates))


def play(queue: Queue, seconds: float | dict[int, float] = 10.0) -> dict[int, float]:
    every = seconds if isinstance(seconds, dict) else {}
    usual = 10.0 if isinstance(seconds, dict) else seconds
    jobs = [one.id for one in [*queue.waiting, *queue.running]]
    return Game(queue, {one: every.get(one, usual) for one in jobs}).play()


ONE_FLOW = {1: Flow(1, (0,))}


def test_jobs_start_in_the_order_of_ranks_as_slots_become_free() -> None:
    queue = Queue([2], ONE_FLOW, [job(1, rank=5.0), job(2, rank=1.0), job(3, rank=9.0), job(4, rank=2.0)])
    assert play(queue) == {2: 0.0, 4: 0.0, 1: 10.0, 3: 10.0}


def test_running_jobs_hold_their_slots() -> None:
    queue = Queue([2], ONE_FLOW, [job(1), job(2), job(3)], [busy(8), busy(9)])
    assert play(queue, {8: 4.0, 9: 7.0}) == {1: 4.0, 2: 7.0, 3: 14.0}


def test_jobs_that_were_claimed_ahead_begin_first() -> None:
    queue = Queue([1], ONE_FLOW, [job(1)], [busy(8), busy(9)])
    assert play(queue, {8: 4.0, 9: 7.0}) == {1: 11.0}


def test_a_worker_that_takes_no_more_frees_no_slot_but_its_limits() -> None:
    flows = {1: Flow(1, (0,), (ORG,))}
    queue = Queue([1], flows, [job(1)], [busy(9, group=None, gates=[ORG])], {ORG: Gate(1, 1)})
    assert play(queue, {9: 3.0}) == {1: 3.0}


def test_each_flow_waits_for_workers_that_take_it() -> None:
    flows = {1: Flow(1, (0,)), 2: Flow(1, (1,)), 3: Flow(1, (0, 1))}
    queue = Queue([1, 1], flows, [job(1), job(2), job(3, flow=2), job(4, flow=3)])
    assert play(queue, {1: 10.0, 2: 10.0, 3: 4.0, 4: 1.0}) == {1: 0.0, 3: 0.0, 4: 4.0, 2: 10.0}


def test_delayed_jobs_come_when_they_are_due() -> None:
    queue = Queue([1], ONE_FLOW, [job(1), job(2), job(3, rank=0.0, due_s=5.0)])
    assert play(queue) == {1: 0.0, 3: 10.0, 2: 20.0}


def test_a_flow_of_which_more_is_there_ends_the_game() -> None:
    flows = {1: Flow(1, (0,), more=True), 2: Flow(2, (0,))}
    queue = Queue([1], flows, [job(1), job(2, flow=2), job(3, flow=2)])
    assert len(play(queue)) < 3
    assert 3 not in simulate(queue)


def test_organisations_share_by_weight_in_seconds() -> None:
    """One with three times the weight gets three times the seconds, whatever the length of its jobs."""
    flows = {1: Flow(1, (0,)), 2: Flow(2, (0,))}
    waiting = [job(n, flow=1, charge_s=10.0) for n in range(100)]
    waiting += [job(n, flow=2, charge_s=1.0) for n in range(100, 300)]
    orgs = {1: (3.0, 0.0), 2: (1.0, 0.0)}
    lengths = {one.id: one.charge_s for one in waiting}
    starts = play(Queue([1], flows, waiting, orgs=orgs), lengths)
    until = [one for one, start in starts.items() if start < 400]
    first = sum(lengths[one] for one in until if one < 100)
    assert first / sum(lengths[one] for one in until) == pytest.approx(0.75, abs=0.05)


def test_who_is_ahead_of_its_turn_waits() -> None:
    flows = {1: Flow(1, (0,)), 2: Flow(2, (0,))}
    waiting = [job(1), *(job(n, flow=2) for n in range(2, 8))]
    starts = play(Queue([1], flows, waiting, orgs={1: (1.0, 3.5), 2: (1.0, 0.0)}), 1.0)
    assert starts[1] == 4.0


def test_leads_shrink_while_time_goes_by() -> None:
    flows = {1: Flow(1, (0,)), 2: Flow(2, (0,))}
    waiting = [job(1), *(job(n, flow=2, charge_s=10.0) for n in range(2, 40))]
    orgs = {1: (1.0, 300.0), 2: (1.0, 0.0)}
    lasting = play(Queue([1], flows, waiting, orgs=orgs))
    fading = play(Queue([1], flows, waiting, orgs=orgs, half_life_s=60.0))
    assert fading[1] < lasting[1]


def test_a_key_admits_one_at_a_time_and_holds_up_nobody_else() -> None:
    flows = {1: Flow(1, (0,), (KEY,)), 2: Flow(1, (0,))}
    queue = Queue([3], flows, [job(1), job(2), job(3, flow=2), job(4, flow=2)], gates={KEY: Gate(0, 1)})
    assert play(queue) == {1: 0.0, 3: 0.0, 4: 0.0, 2: 10.0}


def test_tokens_come_back_one_by_one() -> None:
    flows = {1: Flow(1, (0,), (ORG,)), 2: Flow(1, (0,), (ORG, KEY))}
    gates = {ORG: Gate(0, None, 2.0, 0.5, 2.0), KEY: Gate(0, 9)}
    queue = Queue([9], flows, [job(n, flow=1 + n % 2) for n in range(6)], gates=gates)
    assert sorted(play(queue).values()) == pytest.approx([0.0, 0.0, 2.0, 4.0, 6.0, 8.0])


def test_a_limit_of_none_lets_nothing_start() -> None:
    flows = {1: Flow(1, (0,), (ORG,)), 2: Flow(2, (0,))}
    queue = Queue([1], flows, [job(1), job(2, flow=2)], gates={ORG: Gate(0, 0)})
    assert play(queue) == {2: 0.0}


@st.composite
def queues(draw: st.DrawFn) -> tuple[Queue, dict[int, float]]:
    """Some organisations and flows, two kinds of workers, limits at random."""
    slots = draw(st.lists(st.integers(1, 3), min_size=1, max_size=2))
    groups = [tuple(range(len(slots))), *((place,) for place in range(len(slots)))]
    names = [("org", 0), ("org", 1), ("key", 0), ("key", 1)]
    gates = {name: Gate(0, draw(st.integers(1, 3))) for name in names}
    gates |= {("rate", 0): Gate(0, None, 1.0, 2.0, draw(st.sampled_from([1.0, 3.0])))}
    flows = {}
    for flow in range(draw(st.integers(1, 6))):
        org = draw(st.integers(0, 2))
        of = draw(st.sets(st.sampled_from([*gates]), max_size=2))
        flows[flow] = Flow(org, draw(st.sampled_from(groups)), tuple(sorted(of)))
    lengths = draw(st.lists(st.floats(0.1, 20.0), min_size=1, max_size=30))
    waiting = [
        job(
            number,
            flow=draw(st.integers(0, len(flows) - 1)),
            rank=draw(st.floats(0, 100)),
            charge_s=draw(st.floats(0.001, 20.0)),
            due_s=draw(st.sampled_from([0.0, 0.0, 5.0])),
        )
        for number in range(len(lengths))
    ]
    return Queue(slots, flows, waiting, gates=gates), dict(enumerate(lengths))


@given(queues())
@settings(max_examples=60, deadline=None)
def test_every_job_starts_and_no_limit_is_passed(made: tuple[Queue, dict[int, float]]) -> None:
    queue, lengths = made
    starts = Game(queue, lengths).play()
    assert set(starts) == set(lengths)
    flow_of = {one.id: queue.flows[one.flow] for one in queue.waiting}
    for one in queue.waiting:
        assert starts[one.id] >= one.due_s
    for start in starts.values():
        at_once = [one for one, begun in starts.items() if begun <= start < begun + lengths[one]]
        assert len(at_once) <= sum(queue.slots)
        for name, gate in queue.gates.items():
            inside = [one for one in at_once if name in flow_of[one].gates]
            assert gate.most is None or len(inside) <= gate.most


@given(queues())
@settings(max_examples=60, deadline=None)
def test_no_slot_is_idle_while_somebody_may_use_it(made: tuple[Queue, dict[int, float]]) -> None:
    """Of jobs without limits: whoever waits behind its due time sees every slot that takes it busy."""
    queue, lengths = made
    starts = Game(queue, lengths).play()
    ends = {one: start + lengths[one] for one, start in starts.items()}
    for one in queue.waiting:
        flow = queue.flows[one.flow]
        if flow.gates or starts[one.id] <= one.due_s:
            continue
        moment = (
            starts[one.id] + max([one.due_s, *(end for end in ends.values() if end < starts[one.id])])
        ) / 2
        at_once = sum(starts[other] <= moment < ends[other] for other in starts)
        assert at_once >= sum(queue.slots[group] for group in flow.groups)


@given(queues())
@settings(max_examples=30, deadline=None)
def test_jobs_of_a_flow_go_by_rank(made: tuple[Queue, dict[int, float]]) -> None:
    queue, lengths = made
    starts = Game(queue, lengths).play()
    for one in queue.waiting:
        for other in queue.waiting:
            if one.flow == other.flow and one.rank < other.rank and one.due_s <= other.due_s:
                assert starts[one.id] <= starts[other.id]


def test_jobs_to_come_go_first_where_their_rank_does() -> None:
    """One job in two seconds comes, and takes one: those that rank first push the others back."""
    waiting = [Waiting(n, 1, 1000.0 + n, ANY, 1.0) for n in range(40)]
    alone = Queue([1], ONE_FLOW, waiting)
    first, last = (replace(alone, arrivals=[Arrival(1, rank, ANY, 1.0)], per_s=0.5) for rank in (0.0, 1e6))
    starts = [simulate(queue, games=20)[20].start.middle for queue in (alone, first, last)]
    assert starts[1] == pytest.approx(2 * starts[0], rel=0.3)
    assert starts[2] == starts[0]
    assert max(simulate(first)) < NO_JOB


def test_a_flood_of_jobs_to_come_does_not_go_on_for_ever() -> None:
    queue = Queue([1], ONE_FLOW, [job(1), job(2)], arrivals=[Arrival(1, 1e9, ANY, 1.0)], per_s=1e6)
    assert set(simulate(queue, games=15)) == {1, 2}


def test_quantiles_spread_with_what_is_ahead_and_are_the_same_every_time() -> None:
    wide = runtime(10_000, 5_000, 20_000)
    waiting = [Waiting(n, 1, n, wide, 10.0) for n in range(20)]
    queue = Queue([2], ONE_FLOW, waiting)
    times = simulate(queue, games=30)
    assert times == simulate(queue, games=30)
    assert times[0].start == (0.0, 0.0, 0.0)
    assert 4 < times[0].finish.low < 10.1 < times[0].finish.high < 25
    widths = [times[n].start.high - times[n].start.low for n in (4, 10, 18)]
    assert widths == sorted(widths)
    assert times[18].start.middle == pytest.approx(90, rel=0.3)


def test_a_job_that_starts_in_too_few_games_has_no_times() -> None:
    flows = {1: Flow(1, (0,), ("rate",))}
    gates = {"rate": Gate(0, 0)}
    assert simulate(Queue([1], flows, [job(1)], gates=gates)) == {}
    assert math.inf > max(simulate(Queue([1], ONE_FLOW, [job(1), job(2)]))[2].start)
