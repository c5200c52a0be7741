from __future__ import annotations

import math

import numpy as np
import pytest

from predictor.estimate import LONGEST_MS, SHORTEST_MS, Estimate, correct, estimate, median
from predictor.features import Sequences, example
from predictor.history import Ask, Past, robust_base
from predictor.lstm import Network
from tests.predictor.builders import ask, network, past, run

KNOWN = past([run(1000, ago_s=200), run(1200, ago_s=100)])
CONTEXT = past(
    [run(job_type=kind, job_name="other") for kind in ("etl", "http", "http", "ml")], ask(job_type="shell")
)


def answers(net: Network | None, asked: list[tuple[Ask, Past]]) -> list[Estimate]:
    found = [answer for answer in estimate(net, asked) if answer is not None]
    assert len(found) == len(asked)
    return found


def test_base_answers_without_a_network() -> None:
    (answer,) = answers(None, [(ask(), KNOWN)])
    assert answer.source == "base"
    assert 1000 < answer.runtime_ms < 1200


@pytest.mark.parametrize("net", [None, network()], ids=["cold start", "network"])
def test_cold_start_answers_where_nothing_is_known(net: None) -> None:
    (answer,) = answers(net, [(ask(job_type="shell"), CONTEXT)])
    assert (answer.runtime_ms, answer.source) == (1500 * (1 + 0.1 * (-1 - 1 + 1)), "cold_start")


def test_network_corrects_the_base() -> None:
    net = network()
    base = robust_base(ask(), KNOWN)
    assert base is not None
    sequences = Sequences([example(ask(), KNOWN, base)])
    expected = math.exp(base.log_ms + float(correct(net, sequences)[0, 0]))
    (answer,) = answers(net, [(ask(), KNOWN)])
    assert answer.source == "lstm"
    assert answer.runtime_ms == pytest.approx(expected, rel=1e-6)
    assert answer.runtime_ms != pytest.approx(math.exp(base.log_ms), rel=1e-4)


def test_many_are_answered_in_order_and_as_if_alone() -> None:
    net = network()
    asked = []
    for number in range(1, 700):
        own = ask(org_id=number) if number % 3 else ask(org_id=number, job_type="shell")
        asked.append(
            (own, past([run(10.0 * number, org_id=number, ago_s=step) for step in range(number % 20)], own))
        )
    together = answers(net, asked)
    for number in (0, 1, 2, 17, 511, 512, 698):
        (alone,) = answers(net, [asked[number]])
        assert together[number].source == alone.source
        assert together[number].runtime_ms == pytest.approx(alone.runtime_ms, rel=1e-5)


@pytest.mark.parametrize("bias", [np.nan, np.inf, -50.0, 50.0])
def test_absurd_correction_costs_its_own_ask_only(bias: float) -> None:
    net = network()
    net.params["head.bias"][...] = bias
    unknown = ask(job_type="shell")
    absurd, cold = estimate(net, [(ask(), KNOWN), (unknown, CONTEXT)])
    assert absurd is None
    assert cold == estimate(None, [(unknown, CONTEXT)])[0]


@pytest.mark.parametrize(
    ("known_ms", "bias", "expected_ms"),
    [(1.0, -0.5, SHORTEST_MS), (LONGEST_MS, 0.5, LONGEST_MS), (1.0, 0.5, math.exp(0.5))],
)
def test_overshoot_at_the_edges_is_held_back(known_ms: float, bias: float, expected_ms: float) -> None:
    net = network(head=0.0)
    net.params["head.bias"][...] = bias
    (answer,) = answers(net, [(ask(), past([run(known_ms)]))])
    assert answer.runtime_ms == pytest.approx(expected_ms)


def test_past_beyond_the_edge_is_held_back_without_a_network() -> None:
    (answer,) = answers(None, [(ask(), past([run(2 * LONGEST_MS)]))])
    assert answer.runtime_ms == pytest.approx(LONGEST_MS)


def test_the_middle_output_is_the_median() -> None:
    np.testing.assert_array_equal(median(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])), [2.0, 5.0])
    np.testing.assert_array_equal(median(np.array([[7.0]])), [7.0])


def test_nothing_asked_nothing_answered() -> None:
    assert estimate(network(), []) == []
