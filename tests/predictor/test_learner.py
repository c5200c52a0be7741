from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from predictor import coldstart
from predictor.history import Run
from predictor.learner import LEAST_ORGS, MIN_LESSONS, Learner
from predictor.lstm import Params
from predictor.shadow import GRACE
from predictor.train import Config
from predictor.traits import traits_of
from tests.predictor.builders import alternating_history, ask, model, run

QUICK = Config(hidden=12, epochs=12, online_every=16)
SMALL = replace(QUICK, batch=32, online_steps=2)


def learner(config: Config = QUICK, seed: int = 0) -> Learner:
    return Learner(np.random.default_rng(seed), config)


def live(
    told: Learner, runs: Sequence[Run], *, read_at_once: bool = False, to_the_end: bool = True
) -> list[float]:
    """Tell it of runs, in the order of time, and answer the medians that it predicted, in the order of asking.

    They are read all together when everything has ended, or `read_at_once`: each before the next is asked for.
    Not `to_the_end`: of what ends after the last of them is asked for it is not told.
    """
    going, tickets, read = list[tuple[float, int, Run]](), list[int](), list[float]()
    for entry in sorted(runs, key=lambda run: run.ask.at):
        while going and going[0][0] <= entry.ask.at:
            told.ended(*heapq.heappop(going)[1:])
        tickets.append(told.ask(entry.ask))
        if read_at_once:
            read.append(median(told, tickets[-1]))
        heapq.heappush(going, (entry.ended_at, tickets[-1], entry))
    while going and to_the_end:
        told.ended(*heapq.heappop(going)[1:])
    return read or [median(told, ticket) for ticket in tickets]


def median(told: Learner, ticket: int) -> float:
    return float(told.predictions([ticket])[0, 1])


def trained(runs: Sequence[Run], config: Config = QUICK, seed: int = 0) -> Learner:
    told = learner(config, seed)
    live(told, runs)
    verdict = told.retrain()
    assert verdict is not None
    assert verdict.accepted
    return told


def weights(told: Learner) -> Params:
    assert told.model is not None
    return told.model.copy().params


def same(one: Params, other: Params) -> bool:
    return all((value == other[name]).all() for name, value in one.items())


def errors(predicted: Sequence[float], runs: Sequence[Run]) -> list[float]:
    return [abs(guess - entry.log_ms) for guess, entry in zip(predicted, runs, strict=True)]


def overlapping(count: int, seed: int = 0) -> list[Run]:
    """Runs of three names that last longer than the time between two of them."""
    rng = np.random.default_rng(seed)
    runs = []
    for number in range(count):
        runtime_ms = 60_000.0 * (1 + number % 3) * float(np.exp(rng.normal(scale=0.5)))
        ago_s = -20.0 * number - runtime_ms / 1000
        runs.append(run(runtime_ms, ago_s=ago_s, job_name=f"job-{number % 3}", user_id=number % 2))
    return runs


@pytest.mark.parametrize("cut", [1, 60, 119])
def test_predictions_know_nothing_of_the_future(cut: int) -> None:
    """The same to a learner that hears of nothing later, and to one that hears of another future."""
    runs = sorted(overlapping(120), key=lambda run: run.ask.at)
    moment = runs[cut - 1].ask.at
    changed = [
        replace(entry, runtime_ms=entry.runtime_ms * 50) if entry.ended_at > moment else entry
        for entry in runs
    ]
    assert changed[cut - 1] != runs[cut - 1]
    without, another = (trained(alternating_history(100), SMALL) for _ in range(2))
    expected = live(without, runs[:cut], to_the_end=False)
    np.testing.assert_allclose(live(another, changed)[:cut], expected, rtol=1e-6)


def test_a_run_that_has_not_ended_changes_nothing() -> None:
    """But for the number of open jobs, which is known."""
    told = trained(alternating_history(100), SMALL)
    before, trust = weights(told), told.shadows.now(1, "etl")
    windows = {key: list(window.runs) for key, window in told.book.windows.items()}
    asked = [ask(job_name="job-0", at=alternating_history(101)[-1].ended_at + number) for number in range(50)]
    tickets = [told.ask(one) for one in asked]
    told.predictions(tickets)
    assert same(weights(told), before)
    assert told.shadows.now(1, "etl") == trust
    assert {key: list(window.runs) for key, window in told.book.windows.items()} == windows
    for ticket, one in zip(tickets, asked, strict=True):
        told.ended(ticket, run(77_000, asked=one))
    assert not same(weights(told), before)
    assert told.shadows.now(1, "etl") != trust
    assert {key: list(window.runs) for key, window in told.book.windows.items()} != windows


def test_it_does_not_matter_when_a_prediction_is_read() -> None:
    """Weights move meanwhile; what counts are those of the moment in which it was asked for."""
    runs = overlapping(150)
    later, at_once = (
        live(trained(alternating_history(100), SMALL), runs, read_at_once=at_once)
        for at_once in (False, True)
    )
    np.testing.assert_allclose(later, at_once, rtol=1e-5)


def test_practice_moves_no_prediction_that_was_made_before() -> None:
    told, other = (trained(alternating_history(100), SMALL) for _ in range(2))
    ticket = told.ask(ask())
    expected = other.predictions([other.ask(ask())])
    told.practise()
    np.testing.assert_allclose(told.predictions([ticket]), expected, rtol=1e-6)
    assert not same(weights(told), weights(other))


def test_same_seed_gives_the_same_predictions() -> None:
    first, second = (live(trained(alternating_history(100), SMALL), overlapping(100)) for _ in range(2))
    assert first == second


def test_nothing_known_is_served_from_the_cold_start() -> None:
    told = learner()
    (low, middle, high) = np.exp(told.predictions([told.ask(ask(job_type="shell"))])[0])
    assert middle == pytest.approx(coldstart.base_ms("shell"))
    assert (low, high) == (pytest.approx(middle * math.exp(-0.7)), pytest.approx(middle * math.exp(0.7)))


def test_nothing_is_served_above_the_time_limit() -> None:
    told = learner()
    assert np.exp(median(told, told.ask(ask(job_type="ml", timeout_s=2)))) == pytest.approx(2000)
    told.seen(run(9000))
    served = told.predictions([told.ask(ask(timeout_s=2))])
    middle, high = np.exp(served[0, 1:])
    assert middle == pytest.approx(2000)
    assert 2000 <= high <= 2000 * math.exp(GRACE)


def test_a_new_organisation_begins_at_the_level_of_the_type() -> None:
    told = learner()
    live(told, [run(5000, ago_s=100 - number, org_id=1 + number) for number in range(LEAST_ORGS)])
    assert np.exp(median(told, told.ask(ask(org_id=99)))) == pytest.approx(5000)
    assert told.levels == {"etl": pytest.approx(math.log(5000))}


def test_the_level_of_a_few_organisations_is_told_to_nobody() -> None:
    told = learner()
    live(told, [run(5000, ago_s=100 - number, org_id=1 + number % (LEAST_ORGS - 1)) for number in range(50)])
    assert not told.levels
    assert np.exp(median(told, told.ask(ask(org_id=99)))) == pytest.approx(coldstart.base_ms("etl"))


def test_nothing_asked_nothing_predicted() -> None:
    assert learner().predictions([]).shape == (0, 3)


def test_a_run_that_was_not_asked_for_is_history_and_no_lesson() -> None:
    told = learner()
    for number in range(2 * MIN_LESSONS):
        told.seen(run(5000, ago_s=500 - number))
    assert np.exp(median(told, told.ask(ask()))) == pytest.approx(5000)
    assert not told.shadows.changed
    assert told.retrain() is None


def test_what_is_forgotten_is_not_kept() -> None:
    told = learner()
    asked = ask()
    ticket, other = told.ask(asked), told.ask(ask(job_name="other"))
    told.forget(ticket)
    told.forget(ticket)
    with pytest.raises(KeyError):
        told.predictions([ticket])
    assert told.predictions([other]).shape == (1, 3)
    assert [group.jobs for group in told.book.past(asked).open] == [0, 1, 1]


def test_what_ends_is_no_longer_open() -> None:
    """The run may come with another copy of what was asked."""
    told, asked = learner(), ask()
    ticket = told.ask(asked)
    assert told.book.past(asked).open[0].jobs == 1
    told.ended(ticket, run(asked=replace(asked)))
    assert told.book.past(asked).open[0].jobs == 0


def test_a_network_that_puts_out_no_numbers_is_left_aside() -> None:
    told = Learner(np.random.default_rng(0), QUICK, model(bias=math.nan))
    told.online = False
    plain = learner()
    runs = overlapping(40)
    assert live(told, runs) == live(plain, runs)
    assert told.shadows.now(1, "etl").errors == plain.shadows.now(1, "etl").errors


def test_a_network_that_predicts_better_is_taken_up() -> None:
    told = learner()
    history = alternating_history(400)
    heard: list[float] = []
    live(told, history)
    verdict = told.retrain(lambda stage, share, said: heard.append(share))
    assert verdict is not None
    assert verdict.accepted
    assert verdict.challenger < 0.5 * verdict.base
    assert (verdict.champion, verdict.lessons) == (math.inf, 398)
    assert told.model is not None
    assert same(verdict.model.params, told.model.params)
    assert len(verdict.judged) == 40
    assert [one.run for one in verdict.judged] == history[-40:]
    assert heard == sorted(heard)
    assert 0 < heard[-1] <= 1
    found = [abs(one.challenger.median - one.run.log_ms) for one in verdict.judged]
    assert np.mean(found) / math.log(2) == pytest.approx(verdict.challenger)


def test_a_second_challenger_is_held_against_what_was_served() -> None:
    told = trained(alternating_history(300))
    later = [replace(entry, ended_at=entry.ended_at + 1e6) for entry in alternating_history(300, seed=3)]
    later = [replace(entry, ask=replace(entry.ask, at=entry.ask.at + 1e6)) for entry in later]
    served = live(told, later)
    verdict = told.retrain()
    assert verdict is not None
    newest = len(verdict.judged)
    expected = np.mean(errors(served[-newest:], later[-newest:])) / math.log(2)
    assert verdict.champion == pytest.approx(expected, rel=1e-5)
    assert verdict.champion < 0.5 * verdict.base


@pytest.mark.parametrize("seed", range(3))
def test_noise_gives_no_network(seed: int) -> None:
    """Of spikes up and down, one run in five, the median knows all that can be known."""
    rng = np.random.default_rng(100 + seed)
    factors = np.where(rng.random(300) < 0.2, rng.choice([6.0, 1 / 6], 300), 1.0)
    runs = [run(1000 * factor, ago_s=-600.0 * number) for number, factor in enumerate(factors)]
    assert rejected(runs)


def test_a_network_that_is_equal_to_the_base_is_not_taken_up() -> None:
    assert rejected([run(1000, ago_s=-600.0 * number) for number in range(100)])


def test_what_was_true_and_is_no_longer_gives_no_network() -> None:
    """Levels alternate while it is learned, and stay for long when it is judged."""
    rng = np.random.default_rng(0)
    levels = [number % 2 if number < 255 else (number // 22) % 2 for number in range(300)]
    runs = [
        run((1000.0 if high else 20_000.0) * float(np.exp(rng.normal(scale=0.05))), ago_s=-600.0 * number)
        for number, high in enumerate(levels)
    ]
    assert rejected(runs)


def rejected(runs: Sequence[Run]) -> bool:
    """Whether a retraining comes to nothing, and leaves no trace in later predictions."""
    told, without = learner(), learner()
    live(told, runs)
    live(without, runs)
    verdict = told.retrain()
    assert verdict is not None
    asked = replace(runs[-1].ask, at=runs[-1].ended_at)
    np.testing.assert_array_equal(
        told.predictions([told.ask(asked)]), without.predictions([without.ask(asked)])
    )
    return not verdict.accepted and told.model is None


def test_too_little_to_learn_from_is_not_tried() -> None:
    told = learner()
    live(told, alternating_history(MIN_LESSONS + 1))
    assert told.retrain() is None
    assert told.model is None


def test_the_judge_sees_nothing_that_was_learned_from() -> None:
    """Whatever the number of lessons, of which a tenth is seldom whole."""
    for count in range(MIN_LESSONS, MIN_LESSONS + 12):
        told = learner(replace(QUICK, epochs=1))
        live(told, [run(1000, ago_s=-600.0 * number) for number in range(count + 1)])
        verdict = told.retrain()
        assert verdict is not None
        assert verdict.lessons == count
        assert len(verdict.judged) == count - QUICK.cuts(count)[1]


def moded(count: int, start: int, slow: str, seed: int) -> list[Run]:
    """One name, whose payload says whether a run is slow: which no window can know."""
    rng = np.random.default_rng(seed)
    runs = []
    for number in range(start, start + count):
        mode = ("full", "delta")[int(rng.integers(2))]
        runtime_ms = (8000.0 if mode == slow else 500.0) * float(np.exp(rng.normal(scale=0.1)))
        runs.append(run(runtime_ms, ago_s=-60.0 * number, traits=traits_of("nightly", {"mode": mode})))
    return runs


def test_small_steps_follow_what_no_window_can_see() -> None:
    """What was slow is fast from now on. Only the weights can learn it: everything else goes on in both."""
    config = replace(QUICK, batch=32, online_every=8, online_rate=2e-3)
    after = moded(300, start=400, slow="delta", seed=50)
    found = []
    for online in (True, False):
        told = trained(moded(400, start=0, slow="full", seed=1), config)
        told.online = online
        found.append(np.mean(errors(live(told, after), after)[-80:]))
    learned, frozen = found
    assert learned < 0.5 * frozen


def test_without_small_steps_the_weights_stay_and_the_windows_move() -> None:
    told = trained(alternating_history(200))
    told.online = False
    before = weights(told)
    live(told, [run(123_000, ago_s=-600.0 * (300 + number), job_name="job-0") for number in range(80)])
    assert same(weights(told), before)
    window = told.book.windows[1, "etl", "job-0", 0].summary()
    assert window is not None
    assert np.exp(window.median) == pytest.approx(123_000)
    told.online = True
    live(told, [run(123_000, ago_s=-600.0 * (400 + number), job_name="job-0") for number in range(20)])
    assert not same(weights(told), before)


def steady_jobs(count: int, start: int, level_ms: float) -> list[Run]:
    """Three names, each about so long, one after the other."""
    rng = np.random.default_rng(start)
    return [
        run(
            level_ms * float(np.exp(rng.normal(scale=0.05))),
            ago_s=-600.0 * (start + number),
            job_name=f"job-{number % 3}",
        )
        for number in range(count)
    ]


def swinging_jobs(count: int, start: int, level_ms: float) -> list[Run]:
    """Two names that swing between two levels, which only the network can predict."""
    kept = alternating_history(start + count)[start:]
    scale = level_ms / 1000
    return [
        replace(entry, runtime_ms=entry.runtime_ms * scale, ask=replace(entry.ask, at=entry.ask.at - 60))
        for entry in kept
    ]


@pytest.mark.parametrize("kind", [steady_jobs, swinging_jobs])
def test_drift_is_followed_within_ten_executions(kind: Callable[[int, int, float], list[Run]]) -> None:
    """At midnight the runtimes of a key triple.

    What is off in the other learner is all that could tell it: since the retraining it has heard of no
    outcome, so neither windows nor trust nor weights moved. `Learner.online` alone would not show it, for the
    windows follow a new level even where the weights are frozen.
    """
    following, frozen = (learner(replace(QUICK, online_every=64)) for _ in range(2))
    for told in (following, frozen):
        live(told, kind(600, 0, 1000.0))
        told.retrain()
    night = kind(60, 600, 3000.0)
    key = night[0].ask.job_name
    on, off = list[float](), list[float]()
    for entry in night:
        ticket, other = following.ask(entry.ask), frozen.ask(entry.ask)
        if entry.ask.job_name == key:
            on.append(math.exp(median(following, ticket) - entry.log_ms))
            off.append(math.exp(median(frozen, other) - entry.log_ms))
        following.ended(ticket, entry)
    assert len(on) >= 20
    assert on[10] == pytest.approx(1.0, abs=0.25)
    assert np.median(on[10:20]) == pytest.approx(1.0, abs=0.25)
    assert all(abs(ratio - 1) > 0.25 for ratio in off)
