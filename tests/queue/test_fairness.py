"""Turns between organisations, as a pure policy: whatever is submitted, nobody gets more than the share for long."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.fairness import LEAST_S, UNKNOWN_S, Shares, charge_s

FOREVER_S = 1e12
A, B, C = 1, 2, 3

weights = st.sampled_from([0.5, 1.0, 2.0, 3.0])
lengths = st.floats(0.01, 100.0)


@dataclass
class Server:
    """One worker with one slot: the policy as it is used, with jobs as (predicted, actual) seconds."""

    shares: Shares = field(default_factory=lambda: Shares(FOREVER_S))
    waiting: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    received: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    order: list[int] = field(default_factory=list)

    def submit(self, org: int, *jobs: tuple[float, float], weight: float = 1.0) -> None:
        if jobs:
            self.waiting[org].extend(jobs)
            self.shares.begin(org, weight)

    def serve(self) -> int | None:
        orgs = [org for org, jobs in self.waiting.items() if jobs]
        if not orgs:
            return None
        (org,) = self.shares.turns(orgs, 1, float)
        predicted, actual = self.waiting[org].pop(0)
        self.shares.take(org, predicted)
        self.shares.charge(org, actual - max(predicted, LEAST_S))
        self.received[org] += actual
        self.order.append(org)
        if not self.waiting[org]:
            self.shares.end(org)
        return org

    def serve_all(self, most: int = 10_000) -> None:
        for _ in range(most):
            if self.serve() is None:
                return


def test_a_newcomer_goes_next_behind_ten_thousand_jobs() -> None:
    server = Server()
    server.submit(A, *[(1.0, 1.0)] * 10_000)
    server.serve()
    server.submit(B, (1.0, 1.0))
    assert [server.serve(), server.serve()].count(B) == 1


@pytest.mark.parametrize("factor", [1.0, 100.0, 0.01])
def test_three_to_one_is_three_to_one_in_worker_seconds_whatever_is_predicted(factor: float) -> None:
    server = Server()
    server.submit(A, *[(1.0, factor)] * 2000, weight=3.0)
    server.submit(B, *[(factor, factor)] * 2000, weight=1.0)
    for _ in range(500):
        server.serve()
    assert server.received[A] / server.received[B] == pytest.approx(3.0, rel=0.1)


def test_many_short_jobs_and_one_long_one_are_even_in_seconds() -> None:
    server = Server()
    server.submit(A, *[(0.1, 0.1)] * 600)
    server.submit(B, *[(10.0, 10.0)] * 6)
    while server.waiting[A]:
        server.serve()
    assert server.received[A] == pytest.approx(60.0)
    assert server.received[B] == pytest.approx(60.0, abs=10.0)


def test_a_lone_organisation_gets_everything_and_owes_nothing_for_it() -> None:
    server = Server()
    server.submit(A, *[(1.0, 1.0)] * 300)
    for _ in range(200):
        assert server.serve() == A
    server.submit(B, *[(1.0, 1.0)] * 100)
    server.order.clear()
    for _ in range(20):
        server.serve()
    assert server.order.count(A) == server.order.count(B) == 10


def test_who_was_idle_starts_at_the_present_without_credit() -> None:
    server = Server()
    for org in (A, B):
        server.submit(org, *[(1.0, 1.0)] * 500)
    for _ in range(200):
        server.serve()
    server.submit(C, *[(1.0, 1.0)] * 100)
    server.order.clear()
    for _ in range(30):
        server.serve()
    assert server.order.count(C) == 10


def test_a_debt_is_forgotten_by_halves() -> None:
    shares = Shares(half_life_s=100.0)
    shares.begin(A)
    shares.begin(B)
    shares.take(A, 1.0)
    shares.charge(A, 63.0)
    shares.decay(now=200.0)
    assert shares.lead(A) == pytest.approx(16.0, abs=0.001)


def test_a_lone_organisation_is_ahead_of_whoever_may_come_by_the_job_that_it_runs() -> None:
    shares = Shares(FOREVER_S)
    shares.begin(A)
    shares.take(A, 1.0)
    shares.take(A, 3.0)
    assert shares.lead(A) == pytest.approx(3.0)
    shares.begin(B)
    shares.charge(B, 2.0)
    assert shares.lead(A) == pytest.approx(0.0)
    assert shares.lead(B) == pytest.approx(2.0)


def test_who_is_idle_and_owes_nothing_is_forgotten() -> None:
    shares = Shares(half_life_s=1.0)
    shares.begin(A)
    shares.take(A, 1.0)
    shares.end(A)
    shares.decay(now=60.0)
    assert shares.leads() == {}


def test_jobs_taken_together_count_as_those_taken_one_by_one() -> None:
    together, singly = Shares(FOREVER_S), Shares(FOREVER_S)
    for shares in (together, singly):
        shares.begin(A, weight=2.0)
    together.take(A, 1.0, 5.0, 3.0)
    for seconds in (1.0, 5.0, 3.0):
        singly.take(A, seconds)
    assert together.place(A) == pytest.approx(singly.place(A)) == pytest.approx(4.5)


def test_a_job_without_a_prediction_is_charged_all_the_same() -> None:
    assert charge_s(None) == UNKNOWN_S
    assert charge_s(0.0) == LEAST_S
    assert charge_s(1500.0) == 1.5


jobs_of_orgs = st.dictionaries(
    st.integers(1, 6),
    st.tuples(weights, st.lists(st.tuples(lengths, lengths), min_size=1, max_size=30)),
    min_size=1,
    max_size=6,
)


@given(jobs_of_orgs)
@settings(max_examples=150)
def test_no_slot_stays_idle_while_somebody_waits(
    work: dict[int, tuple[float, list[tuple[float, float]]]],
) -> None:
    server = Server()
    for org, (weight, jobs) in work.items():
        server.submit(org, *jobs, weight=weight)
    for _ in range(sum(len(jobs) for _, jobs in work.values())):
        assert server.serve() is not None
    assert server.serve() is None


@given(jobs_of_orgs)
@settings(max_examples=150)
def test_two_that_both_wait_are_never_further_apart_than_one_job_of_each(
    work: dict[int, tuple[float, list[tuple[float, float]]]],
) -> None:
    """Of start-time fair queueing: |received/weight of one - of the other| <= longest job/weight of both."""
    server = Server()
    for org, (weight, jobs) in work.items():
        server.submit(org, *jobs, weight=weight)
    longest = {org: max(max(job) for job in jobs) / weight for org, (weight, jobs) in work.items()}
    while all(server.waiting[org] for org in work):
        server.serve()
        got = {org: server.received[org] / weight for org, (weight, _) in work.items()}
        for one in work:
            for other in work:
                assert abs(got[one] - got[other]) <= longest[one] + longest[other] + 1e-6


@given(
    arrivals=st.lists(
        st.tuples(st.integers(0, 40), st.tuples(st.floats(0.01, 10.0), st.floats(0.01, 10.0))), max_size=40
    ),
    weight=weights,
)
@settings(max_examples=150)
def test_no_sequence_of_submissions_lets_one_pass_its_share_by_more_than_a_job(
    arrivals: list[tuple[int, tuple[float, float]]], weight: float
) -> None:
    """The schemer submits when and what it likes; the honest one always waits. Predictions may be lies."""
    server, honest, schemer = Server(), A, B
    server.submit(honest, *[(1.0, 1.0)] * 1000)
    longest = max(
        [actual for _, (predicted, actual) in arrivals]
        + [predicted for _, (predicted, _) in arrivals]
        + [1.0]
    )
    begun: tuple[float, float] | None = None
    for step in range(60):
        jobs = [job for at, job in arrivals if at == step]
        server.submit(schemer, *jobs, weight=weight)
        if server.waiting[schemer] and begun is None:
            begun = server.received[honest], server.received[schemer]
        server.serve()
        if begun is not None:
            mine = (server.received[schemer] - begun[1]) / weight
            theirs = server.received[honest] - begun[0]
            assert mine - theirs <= longest / weight + longest + 1.0 + 1e-6
        if not server.waiting[schemer]:
            begun = None


@given(
    st.lists(
        st.tuples(st.sampled_from(["begin", "end", "charge"]), st.integers(1, 4), st.floats(-50, 50)),
        max_size=60,
    )
)
def test_whoever_begins_is_next_or_owes_something(steps: list[tuple[str, int, float]]) -> None:
    """Whatever was charged and given back before: nobody at work is further behind, and a newcomer is not ahead."""
    shares, at_work = Shares(FOREVER_S), set()
    for newcomer, (step, org, seconds) in enumerate(steps, start=100):
        if step == "begin":
            shares.begin(org)
            at_work.add(org)
        elif step == "end":
            shares.end(org)
            at_work.discard(org)
        else:
            shares.charge(org, seconds)
        shares.begin(newcomer)
        assert all(shares.place(other) >= shares.place(newcomer) for other in at_work)
        shares.end(newcomer)


def test_refunds_do_not_leave_a_newcomer_waiting_for_what_nobody_received() -> None:
    shares = Shares(FOREVER_S)
    shares.begin(A)
    shares.take(A, *[3.0] * 100)
    shares.charge(A, -299.0)
    shares.begin(B)
    assert shares.turns([A, B], 1, float) == [B]


def test_what_others_charged_is_no_credit_for_who_was_idle() -> None:
    shares = Shares(FOREVER_S)
    shares.begin(B)
    shares.charge(B, 3600.0)
    shares.begin(A)
    assert shares.place(A) == pytest.approx(shares.place(B), abs=0.001)
