from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictor.exceptions import FailedTraining
from predictor.history import Run
from predictor.train import Config, TooLittleHistory, Trained, split, train
from tests.predictor.builders import NOW, alternating_history, run

QUICK = Config(hidden=12, max_epochs=12)


@pytest.fixture(scope="module")
def history() -> list[Run]:
    return alternating_history()


@pytest.fixture(scope="module")
def trained(history: list[Run]) -> Trained:
    return train(history, rng=np.random.default_rng(0), config=QUICK)


def test_network_learns_what_no_median_can_follow(trained: Trained) -> None:
    assert trained.metrics["log2_network"] < 0.5 * trained.metrics["log2_base"]
    assert trained.metrics["median_ape_network"] < 0.5 * trained.metrics["median_ape_base"]
    assert trained.beats_base


def test_metrics_say_what_was_learned_from(trained: Trained, history: list[Run]) -> None:
    sizes = [trained.metrics[name] for name in ("n_train", "n_stop", "n_val")]
    assert len(history) - 10 <= sum(sizes) < len(history)
    assert 1 <= trained.metrics["epochs"] <= QUICK.max_epochs
    assert trained.metrics["seconds"] > 0


def test_same_seed_gives_the_same_weights(history: list[Run], trained: Trained) -> None:
    again = train(history, rng=np.random.default_rng(0), config=QUICK)
    other = train(history, rng=np.random.default_rng(1), config=QUICK)
    for name, value in trained.network.params.items():
        np.testing.assert_array_equal(again.network.params[name], value)
    assert (other.network.params["head.weight"] != trained.network.params["head.weight"]).any()


def test_the_order_in_which_runs_are_given_does_not_matter(history: list[Run], trained: Trained) -> None:
    again = train(history[::-1], rng=np.random.default_rng(0), config=QUICK)
    assert again.metrics["log2_network"] == trained.metrics["log2_network"]


def test_noise_does_not_pass_for_knowledge() -> None:
    rng = np.random.default_rng(4)
    noise = [run(float(np.exp(rng.normal(7, 1))), ago_s=-600.0 * number) for number in range(300)]
    metrics = train(noise, rng=rng, config=QUICK).metrics
    assert metrics["log2_network"] == pytest.approx(metrics["log2_base"], rel=0.15)


def test_early_stopping_stops_early(history: list[Run]) -> None:
    seen: list[int] = []
    patient = replace(QUICK, max_epochs=60, patience=1, rate=0.05)
    result = train(
        history[:200],
        rng=np.random.default_rng(0),
        config=patient,
        progress=lambda epoch, loss, stop_loss: seen.append(epoch),
    )
    assert seen == list(range(1, int(result.metrics["epochs"]) + 1))
    assert len(seen) < 60


def test_too_little_history_is_said() -> None:
    with pytest.raises(TooLittleHistory, match="at least 50 runs that ended well, found 49"):
        train([*alternating_history(49), run(outcome="failed")], rng=np.random.default_rng(0))
    strangers = [run(org_id=number, ago_s=-number) for number in range(60)]
    with pytest.raises(TooLittleHistory, match=r"Only 0 of the 60 runs .* Run more jobs over time"):
        train(strangers, rng=np.random.default_rng(0))


def test_runs_that_overlap_are_said() -> None:
    first = run(1000, ago_s=0)
    together = [
        Run(1, "etl", "nightly", "normal", "done", 90_000.0, NOW + 60 + number) for number in range(70)
    ]
    with pytest.raises(TooLittleHistory, match=r"overlap too much.* Run more jobs over time and try again"):
        train([first, *together], rng=np.random.default_rng(0))


def test_a_network_equal_to_the_base_does_not_beat_it(trained: Trained) -> None:
    equal = {**trained.metrics, "log2_network": trained.metrics["log2_base"]}
    assert not replace(trained, metrics=equal).beats_base


def test_errors_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(FailedTraining, match="log2_network is nan; try another --seed"):
        train(alternating_history(60), rng=np.random.default_rng(0), config=replace(QUICK, rate=float("nan")))


def test_nothing_is_learned_from_what_ended_in_a_later_part() -> None:
    quick = [run(1000, ago_s=-60.0 * number) for number in range(1, 100)]
    endless = Run(1, "etl", "nightly", "normal", "done", 3_600_000.0, NOW + 60 * 99.5)
    teach, stop, judge = split([*quick, endless], Config())
    assert len(teach) + len(stop) + len(judge) == len(quick) - 1
