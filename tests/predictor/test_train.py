from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from predictor.features import Example, example
from predictor.history import Base, Run, robust_base
from predictor.model import QUANTILES, Model
from predictor.train import Config, Lesson, Trainer, lesson, outputs_of
from predictor.traits import traits_of
from tests.predictor.builders import alternating_history, ask, model, past, replay, run

QUICK = Config(hidden=12, epochs=12)
READ = example(ask(), past([run(1000)]), Base(math.log(1000), 0))


def lessons_of(runs: Sequence[Run]) -> list[Lesson]:
    """Of each run of which something was known when it was asked for."""
    lessons = []
    for entry, before in replay(runs):
        base = robust_base(entry.ask, before, {})
        if base:
            lessons.append(lesson(example(entry.ask, before, base), entry))
    return lessons


def taught(lessons: Sequence[Lesson], config: Config = QUICK, seed: int = 0) -> Trainer:
    rng = np.random.default_rng(seed)
    trainer = Trainer(Model.initial(rng, config.hidden), rng, config)
    trainer.fit(*parts(lessons, config), config.epochs)
    return trainer


def parts(lessons: Sequence[Lesson], config: Config) -> tuple[Sequence[Lesson], Sequence[Lesson]]:
    """To learn from, and to say when to stop; the newest are left out, as they are for the judge."""
    taught, stopped = config.cuts(len(lessons))
    return lessons[:taught], lessons[taught:stopped]


def said(trainer: Trainer, read: Example = READ) -> float:
    """The median it puts out."""
    return float(outputs_of(trainer.model, [read])[0, 1])


def off_by(lessons: Sequence[Lesson], net: Model | None) -> float:
    """Mean error of the median, natural log; that of the base without a network."""
    guesses = outputs_of(net, [one.example for one in lessons])[:, 1] if net else np.zeros(len(lessons))
    return float(np.mean(np.abs(guesses - [one.target for one in lessons])))


@pytest.fixture(scope="module")
def lessons() -> list[Lesson]:
    return lessons_of(alternating_history())


@pytest.fixture(scope="module")
def trainer(lessons: list[Lesson]) -> Trainer:
    return taught(lessons)


def test_a_lesson_is_the_distance_to_the_base() -> None:
    assert lesson(READ, run(2000)) == Lesson(READ, math.log(2000) - READ.log_base, censored=False)
    assert lesson(READ, run(2000, outcome="timeout")).censored


def test_learns_what_no_median_can_follow(trainer: Trainer) -> None:
    unseen = lessons_of(alternating_history(200, seed=9))
    assert off_by(unseen, trainer.model) < 0.25 * off_by(unseen, None)


def test_quantiles_lie_around_the_truth(trainer: Trainer) -> None:
    unseen = lessons_of(alternating_history(400, seed=9))
    outputs = outputs_of(trainer.model, [one.example for one in unseen])
    targets = np.array([[one.target] for one in unseen])
    assert (np.diff(outputs, axis=1) >= 0).all()
    below, _, above = (targets < outputs).mean(axis=0)
    assert below < 0.4
    assert above > 0.6


def test_same_seed_gives_the_same_weights(lessons: list[Lesson], trainer: Trainer) -> None:
    again, other = taught(lessons), taught(lessons, seed=1)
    for name, value in trainer.model.params.items():
        np.testing.assert_array_equal(again.model.params[name], value)
    assert (other.model.params["head.weight"] != trainer.model.params["head.weight"]).any()


def test_noise_does_not_pass_for_knowledge() -> None:
    """Of spikes up and down, one run in ten, the median knows all that can be known."""
    rng = np.random.default_rng(4)
    factors = np.where(rng.random(300) < 0.1, rng.choice([6.0, 1 / 6], 300), 1.0)
    noise = lessons_of([run(1000 * factor, ago_s=-600.0 * number) for number, factor in enumerate(factors)])
    assert off_by(noise[270:], taught(noise).model) >= off_by(noise[270:], None) - 1e-6


def test_old_lessons_are_drawn_less() -> None:
    """What was true of the first half is not true of the second; the newest tenth says nothing of it."""
    changed = [Lesson(READ, -1.0 if number < 200 else 1.0, censored=False) for number in range(400)]
    config = replace(QUICK, epochs=20, patience=100, stop_share=0.01, judge_share=0.01)
    forgetful, faithful = (
        said(taught(changed, replace(config, half_life=life, batch=batch)))
        for life, batch in ((20.0, 16), (1e9, 128))
    )
    assert forgetful > 0.9
    assert -0.9 < faithful < forgetful


def test_early_stopping_stops_early_and_keeps_the_best(lessons: list[Lesson]) -> None:
    heard: list[tuple[str, float, str]] = []
    config = replace(QUICK, epochs=60, patience=1, rate=0.05)
    rng = np.random.default_rng(0)
    trainer = Trainer(Model.initial(rng, config.hidden), rng, config)
    teach, stop = parts(lessons, config)
    best = trainer.fit(teach, stop, config.epochs, lambda *news: heard.append(news))
    assert 1 < len(heard) < 60
    done = [number / 60 for number in range(1, len(heard))]
    assert [share for _, share, _ in heard] == [*done, 1.0]
    assert heard[0][2].startswith("epoch 1: loss ")
    assert trainer.loss(stop) == pytest.approx(best)
    assert f"{best:.4f}" == min(text.rpartition(" ")[2] for _, _, text in heard)


def test_training_that_does_harm_leaves_the_weights_as_they_were() -> None:
    misleading = [Lesson(READ, 1.0 if number < 160 else -1.0, censored=False) for number in range(200)]
    assert said(taught(misleading)) == 0
    rng = np.random.default_rng(0)
    broken = Trainer(model(), rng, replace(QUICK, rate=math.nan))
    broken.fit(*parts(misleading, QUICK), epochs=2)
    for name, value in model().params.items():
        np.testing.assert_array_equal(broken.model.params[name], value)
        np.testing.assert_array_equal(broken.steady.params[name], value)


def mixed(censored_at: float, *, censored: bool = True) -> list[Lesson]:
    """Half of the runs end where the base is, the others at `censored_at`."""
    return [
        Lesson(READ, censored_at if number % 2 else 0.0, censored=censored and number % 2 == 1)
        for number in range(256)
    ]


def test_censored_runs_raise_the_prediction() -> None:
    assert said(taught(mixed(2.0))) > 0.5


def test_censored_runs_never_pull_the_prediction_down() -> None:
    assert said(taught(mixed(-2.0, censored=False))) < -0.5
    pulled = taught(mixed(-2.0))
    assert outputs_of(pulled.model, [READ]).tolist() == [[0.0, 0.0, 0.0]]


def test_online_steps_move_towards_the_newest() -> None:
    trainer = Trainer(model(head=0.0), np.random.default_rng(0), replace(QUICK, online_window=100))
    changed = [Lesson(READ, -1.0 if number < 300 else 1.0, censored=False) for number in range(400)]
    for _ in range(100):
        trainer.learn(changed)
    assert said(trainer) == pytest.approx(1.0, abs=0.2)


def test_predictions_are_made_with_the_average_of_the_last_steps() -> None:
    config = replace(QUICK, online_steps=1, averaged=0.75)
    trainer = Trainer(model(), np.random.default_rng(0), config)
    before = trainer.model.copy().params
    trainer.learn([Lesson(READ, 1.0, censored=False)])
    for name, moved in trainer.model.params.items():
        expected = 0.75 * before[name] + 0.25 * moved
        np.testing.assert_allclose(trainer.steady.params[name], expected, atol=1e-7)
    assert (trainer.model.params["head.bias"] != before["head.bias"]).any()


def test_after_training_the_average_begins_anew(trainer: Trainer) -> None:
    for name, value in trainer.model.params.items():
        np.testing.assert_array_equal(trainer.steady.params[name], value)
        assert not np.shares_memory(trainer.steady.params[name], value)


@pytest.mark.parametrize("count", [3, 50, 55, 61, 1000])
def test_lessons_are_cut_in_three(count: int) -> None:
    """The newest judge, and those before them say when to stop."""
    taught, stopped = QUICK.cuts(count)
    assert 1 <= taught < stopped < count
    assert stopped - taught == count - stopped == max(1, round(count / 10))


def test_no_lessons_have_no_loss(trainer: Trainer) -> None:
    assert trainer.loss([]) == math.inf


def test_outputs_come_in_rising_order_and_as_if_alone() -> None:
    net = model(head=2.0)
    reads = [
        example(ask(traits=traits_of(f"job {number}", {})), past([run()]), Base(number / 50, 0))
        for number in range(20)
    ]
    outputs = outputs_of(net, reads)
    assert (np.diff(outputs, axis=1) >= 0).all()
    np.testing.assert_allclose(outputs_of(net, reads, at_once=3), outputs, rtol=1e-5, atol=1e-4)
    assert outputs_of(net, []).shape == (0, len(QUANTILES))
