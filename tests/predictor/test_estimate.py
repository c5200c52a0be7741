from __future__ import annotations

import math

import numpy as np
import pytest

from predictor import coldstart
from predictor.estimate import (
    LONGEST_MS,
    SHORTEST_MS,
    WITHOUT_NETWORK,
    Estimate,
    Knowledge,
    Question,
    estimate,
)
from predictor.features import example
from predictor.history import robust_base
from predictor.model import Model
from predictor.shadow import GRACE, SHARES, Shadow
from predictor.train import outputs_of
from tests.predictor.builders import ask, model, past, run

KNOWN = past([run(1000, ago_s=200), run(1200, ago_s=100)])
BASE = robust_base(ask(), KNOWN, {})
CONTEXT = past(
    [run(job_type=kind, job_name="other") for kind in ("etl", "http", "http", "ml")], ask(job_type="shell")
)


def believed(share: float) -> Shadow:
    return Shadow([float(place != SHARES.index(share)) for place in range(len(SHARES))])


def one(knowledge: Knowledge, question: Question) -> Estimate:
    (answer,) = estimate(knowledge, [question])
    return answer


def base_ms() -> float:
    assert BASE is not None
    return math.exp(BASE.log_ms)


def outputs(net: Model) -> list[float]:
    assert BASE is not None
    row: list[float] = outputs_of(net, [example(ask(), KNOWN, BASE)])[0].tolist()
    return row


@pytest.mark.parametrize("job_type", coldstart.JOB_TYPES)
@pytest.mark.parametrize("net", [None, model()], ids=["no network", "network"])
@pytest.mark.parametrize("kinds", [(), ("ml",), ("http", "http", "etl"), ("http", "ml", "ml", "ml")])
def test_where_nothing_is_known_the_base_runtime_times_the_context_answers(
    job_type: str, net: Model | None, kinds: tuple[str, ...]
) -> None:
    """What the organisation ran was cancelled at once, so that of its own type nothing is known either."""
    others = [run(1.0, job_type=kind, outcome="cancelled") for kind in kinds]
    asked = ask(job_type=job_type)
    answer = one(Knowledge(net), Question(asked, past(others, asked), believed(1.0)))
    expected = coldstart.base_ms(job_type) * coldstart.context_factor(kinds)
    assert answer == Estimate(expected, "cold_start", None, None, False)


def test_a_job_that_outlasted_the_cold_start_before_is_not_expected_to_be_quicker() -> None:
    asked = ask(job_type="shell")
    known = past([run(60_000, job_type="shell", outcome="timeout")], asked)
    answer = one(Knowledge(), Question(asked, known))
    assert (answer.source, answer.runtime_ms) == ("base", pytest.approx(60_000))


def test_the_cold_start_is_held_within_the_time_limit() -> None:
    asked = ask(job_type="ml", timeout_s=5)
    assert one(Knowledge(), Question(asked, past([], asked))).runtime_ms == 5000


def test_a_type_of_which_nothing_is_known_counts_as_neutral() -> None:
    asked = ask(job_type="shell")
    others = past([run(job_type="fortran"), run(job_type="ml")], asked)
    assert one(Knowledge(), Question(asked, others)).runtime_ms == pytest.approx(1500 * 1.1)


def test_the_base_answers_without_a_network() -> None:
    answer = one(Knowledge(), Question(ask(), KNOWN, believed(1.0)))
    assert (answer.source, answer.absurd) == ("base", False)
    assert 1000 < answer.runtime_ms < 1200
    assert answer.runtime_ms == pytest.approx(base_ms())
    low, _, high = WITHOUT_NETWORK
    assert answer.low_ms == pytest.approx(base_ms() * math.exp(low))
    assert answer.high_ms == pytest.approx(base_ms() * math.exp(high))


def test_the_level_of_the_type_answers_for_a_new_organisation() -> None:
    asked = ask(org_id=2, job_type="shell")
    answer = one(Knowledge(levels={"shell": math.log(777)}), Question(asked, past([], asked)))
    assert (answer.source, answer.runtime_ms) == ("base", pytest.approx(777))


def test_a_network_that_is_not_believed_gives_the_interval_only() -> None:
    net = model(bias=0.5)
    answer = one(Knowledge(net), Question(ask(), KNOWN))
    low, middle, high = outputs(net)
    assert (answer.source, answer.runtime_ms) == ("base", pytest.approx(base_ms()))
    assert answer.low_ms == pytest.approx(base_ms() * math.exp(low - middle), rel=1e-6)
    assert answer.high_ms == pytest.approx(base_ms() * math.exp(high - middle), rel=1e-6)


@pytest.mark.parametrize("share", SHARES[1:])
def test_the_network_corrects_the_base_as_far_as_it_is_believed(share: float) -> None:
    net = model(bias=0.5)
    low, middle, high = outputs(net)
    answer = one(Knowledge(net), Question(ask(), KNOWN, believed(share)))
    assert answer.source == "lstm"
    assert abs(middle) > 0.1
    assert answer.runtime_ms == pytest.approx(base_ms() * math.exp(share * middle), rel=1e-6)
    assert answer.low_ms == pytest.approx(answer.runtime_ms * math.exp(low - middle), rel=1e-6)
    assert answer.high_ms == pytest.approx(answer.runtime_ms * math.exp(high - middle), rel=1e-6)


def test_the_interval_is_as_wide_as_live_results_made_it() -> None:
    shadow = Shadow(low=math.log(2), high=-math.log(2))
    answer = one(Knowledge(), Question(ask(), KNOWN, shadow))
    assert answer.low_ms == pytest.approx(base_ms() * math.exp(2 * WITHOUT_NETWORK[0]))
    assert answer.high_ms == pytest.approx(base_ms() * math.exp(WITHOUT_NETWORK[2] / 2))


@pytest.mark.parametrize("bias", [np.nan, np.inf, -np.inf, -50.0, 50.0])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_absurd_outputs_fall_back_to_the_base(bias: float, share: float) -> None:
    shadow = believed(share)
    absurd, cold = estimate(
        Knowledge(model(bias=bias)),
        [Question(ask(), KNOWN, shadow), Question(ask(job_type="shell"), CONTEXT, shadow)],
    )
    base = one(Knowledge(), Question(ask(), KNOWN, shadow))
    assert absurd == Estimate(base.runtime_ms, "base", base.low_ms, base.high_ms, absurd=True)
    assert (cold.source, cold.absurd) == ("cold_start", False)


def test_absurd_outputs_cost_their_own_ask_only() -> None:
    """A row of the table of embeddings that is no number, for one organisation."""
    net = model()
    mine, others = ask(), ask(org_id=2)
    known = [past([run(org_id=number)], ask(org_id=number)) for number in (1, 2)]
    base = robust_base(mine, known[0], {})
    assert base is not None
    net.params["embedding"][example(mine, known[0], base).words[0]] = np.nan
    answers = estimate(
        Knowledge(net), [Question(mine, known[0], believed(1.0)), Question(others, known[1], believed(1.0))]
    )
    assert [answer.source for answer in answers] == ["base", "lstm"]
    assert [answer.absurd for answer in answers] == [True, False]


@pytest.mark.parametrize("net", [None, model(bias=3.0), model(bias=np.nan)], ids=["none", "high", "absurd"])
def test_nothing_is_predicted_above_the_time_limit(net: Model | None) -> None:
    asked = ask(timeout_s=1.05)
    answer = one(Knowledge(net), Question(asked, KNOWN, believed(1.0)))
    assert answer.runtime_ms == pytest.approx(1050)
    assert answer.low_ms is not None
    assert answer.high_ms is not None
    assert 1050 <= answer.high_ms <= 1050 * math.exp(GRACE)
    assert answer.low_ms < 1050


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("timeout_s", [0.0, 1.0, 3600.0])
@pytest.mark.parametrize("bias", [-9.0, 0.0, 9.0])
def test_the_interval_encloses_the_median(share: float, timeout_s: float, bias: float) -> None:
    questions = [
        Question(ask(timeout_s=timeout_s), past([run(known_ms)]), believed(share))
        for known_ms in (0.1, 1.0, 500.0, LONGEST_MS, 1e15)
    ]
    for answer in estimate(Knowledge(model(bias=bias)), questions):
        assert answer.low_ms is not None
        assert answer.high_ms is not None
        assert SHORTEST_MS <= answer.low_ms <= answer.runtime_ms <= answer.high_ms <= LONGEST_MS


@pytest.mark.parametrize(
    ("known_ms", "bias", "expected_ms"),
    [(1.0, -0.5, SHORTEST_MS), (LONGEST_MS, 0.5, LONGEST_MS), (1.0, 0.5, math.exp(0.5))],
)
def test_overshoot_at_the_edges_is_held_back(known_ms: float, bias: float, expected_ms: float) -> None:
    net = model(head=0.0, bias=bias)
    answer = one(Knowledge(net), Question(ask(), past([run(known_ms)]), believed(1.0)))
    assert answer.runtime_ms == pytest.approx(expected_ms)


def test_many_are_answered_in_order_and_as_if_alone() -> None:
    net, questions = model(), []
    for number in range(1, 700):
        asked = ask(org_id=number) if number % 3 else ask(org_id=number, job_type="shell")
        runs = [run(10.0 * number, org_id=number, ago_s=step) for step in range(number % 20)]
        questions.append(Question(asked, past(runs, asked), believed(1.0)))
    together = estimate(Knowledge(net), questions)
    assert {answer.source for answer in together} == {"lstm", "cold_start"}
    for number in (0, 1, 2, 17, 255, 256, 511, 512, 698):
        alone = one(Knowledge(net), questions[number])
        assert together[number].source == alone.source
        assert together[number].runtime_ms == pytest.approx(alone.runtime_ms, rel=1e-5)


def test_nothing_asked_nothing_answered() -> None:
    assert estimate(Knowledge(model()), []) == []
