from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.peers.venv import PeersMissing
from bench.predict import boosting, ordering, results, scores, smartqueue, traces
from bench.predict.replay import Forecast, answers, replay
from bench.predict.simple import simple_predictors
from bench.predict.traces import Trace
from predictor.history import Ask, Run
from tests.bench import histories

ROOT = Path(__file__).resolve().parents[2]
YARDSTICK = traces.DEFAULT_FOLDER / "README.md"
REAL = "gha_jobs"

needs_traces = pytest.mark.skipif(not YARDSTICK.exists(), reason=f"no traces in {traces.DEFAULT_FOLDER}")


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    histories.write(tmp_path, "small", 150)
    return traces.load(tmp_path, "small", 1000)


def test_a_trace_is_read_with_its_gaps(trace: Trace) -> None:
    assert len(trace) == 150
    assert trace.runtime.min() == 1
    assert set(np.unique(trace.requested[~np.isnan(trace.requested)])) == {60, 600}
    assert np.isnan(trace.requested).any()
    assert trace.starts_of_parts == [15, 30, 45, 60, 75, 90, 105, 120, 135]


def test_forecasts_are_capped_where_a_time_was_requested(trace: Trace) -> None:
    capped = trace.capped(np.full(150, 1e6))
    assert (capped == np.where(np.isnan(trace.requested), 1e6, trace.requested)).all()


def test_nothing_is_known_before_it_ended(trace: Trace) -> None:
    told: list[int] = []
    for row, news in replay(trace):
        told += news
        expected = [other for other in range(len(trace)) if trace.ended[other] <= trace.submit[row]]
        assert sorted(told) == expected
    assert len(told) > 100
    assert (np.diff(trace.ended[told]) >= 0).all()


def test_simple_predictors_are_those_of_a_naive_reckoning(trace: Trace) -> None:
    said = answers(trace, simple_predictors(trace))
    assert set(said) == set(results.SIMPLE)
    for row in range(len(trace)):
        for name, expected in _naive(trace, row).items():
            assert said[name][row] == pytest.approx(expected, rel=1e-12), (name, row)


def _naive(trace: Trace, row: int) -> dict[str, float]:
    """From nothing but the rows that had ended, in the order in which they ended."""
    ended = [(trace.ended[other], other) for other in range(row) if trace.ended[other] <= trace.submit[row]]
    known = [other for _, other in sorted(ended)]
    if not known:
        return dict.fromkeys(results.SIMPLE, 60.0)
    user = [o for o in known if (trace.tenants[o], trace.users[o]) == (trace.tenants[row], trace.users[row])]
    key = [other for other in user if trace.jobs[other] == trace.jobs[row]]
    name = [other for other in known if trace.jobs[other] == trace.jobs[row]]
    overall = statistics.median(trace.runtime[known])
    return {
        "global_median": overall,
        "median_un": statistics.median(trace.runtime[key or user or known]),
        "last2_user": statistics.mean(trace.runtime[user[-2:]]) if user else overall,
        "ewma_un": _decayed(trace.runtime[key or user or name]) if key or user or name else overall,
    }


def _decayed(runtimes: Sequence[float]) -> float:
    """The last weighs 0.3 against all before it; while there are three or fewer they weigh alike."""
    weights = [1.0]
    for count in range(2, len(runtimes) + 1):
        newest = max(0.3, 1 / count)
        weights = [weight * (1 - newest) for weight in weights] + [newest]
    return math.exp(sum(w * math.log(r) for w, r in zip(weights, runtimes, strict=True)))


def test_boosting_is_told_what_is_known_and_no_more(trace: Trace) -> None:
    told = boosting.numbers(trace)
    assert told.shape == (150, 23)
    for row in range(len(trace)):
        ended = sorted((trace.ended[o], o) for o in range(row) if trace.ended[o] <= trace.submit[row])
        own = [o for _, o in ended if boosting.key_of(trace, o) == boosting.key_of(trace, row)]
        newest = [math.log(trace.runtime[other]) for other in own[::-1][:3]]
        np.testing.assert_allclose(told[row, :3], newest + [math.nan] * (3 - len(newest)))
        assert told[row, 13] == pytest.approx(math.log1p(len(own)))
        user = [o for o in range(row) if boosting.user_of(trace, o) == boosting.user_of(trace, row)]
        under_way = sum(trace.ended[other] > trace.submit[row] for other in user)
        assert told[row, 22] == pytest.approx(math.log1p(under_way))


def test_scores_of_a_case_worked_by_hand() -> None:
    trace = _trace(submit=[0, 0, 10, 20, 30, 40, 50, 60, 70, 4000], runtime=[9, 1, 2, 4, 8, 16, 32, 64, 5, 7])
    seconds = np.array([9.0, 2, 2, 4, 8, 16, 32, 64, 5, 28])
    found = scores.score(trace, Forecast(seconds, low=seconds - 1, high=np.full(10, 32.0)))
    assert trace.first_scored == 1
    assert found.log2 == pytest.approx((1 + 2) / 9)
    assert found.mdape == 0
    assert found.coverage == pytest.approx(7 / 9)  # one is longer than `high`, one shorter than `low`
    # 28 pairs within the first hour: one is tied by the forecast; the last job is alone in its hour.
    assert found.pairs == pytest.approx(27.5 / 28)


def test_rank_correlation_shares_the_ranks_of_ties() -> None:
    one, other = np.array([1.0, 2, 2, 3, 9]), np.array([10.0, 10, 30, 20, 50])
    ranks = np.array([1, 2.5, 2.5, 4, 5]), np.array([1.5, 1.5, 4, 3, 5])
    assert scores.spearman(one, other) == pytest.approx(np.corrcoef(*ranks)[0, 1])
    assert scores.spearman(one, np.ones(5)) == 0


def test_large_windows_are_sampled() -> None:
    rng = np.random.default_rng(1)
    actual, predicted = rng.random(300), rng.random(300)
    pairs = list(combinations(range(300), 2))
    right = sum((actual[i] < actual[j]) == (predicted[i] < predicted[j]) for i, j in pairs) / len(pairs)
    assert scores.pair_accuracy(np.zeros(300), actual, predicted) == pytest.approx(right, abs=0.08)
    assert scores.pair_accuracy(np.zeros(300), actual, actual) == 1


def test_the_shortest_that_is_there_goes_first() -> None:
    arrivals, runtimes = np.array([0.0, 1, 2, 3, 50]), np.array([10.0, 5, 1, 3, 2])
    waits = ordering.waits_of(arrivals, runtimes, runtimes, servers=1)
    assert waits.tolist() == [0, 13, 8, 8, 0]
    assert ordering.waits_of(arrivals, runtimes, runtimes, servers=2).tolist() == [0, 0, 4, 4, 0]


def test_gain_is_between_first_come_first_served_and_the_oracle(trace: Trace) -> None:
    queue = ordering.Queue(trace)
    assert queue.gain(trace.runtime) == ordering.Gain(1, 1)
    assert queue.gain(np.ones(150)) == ordering.Gain(0, 0)
    assert queue.gain(-trace.runtime).wait < 0


class Recording:
    """Expects e seconds of every job, between 1 and a million; notes what it is told and when."""

    def __init__(self) -> None:
        self.log: list[tuple[str, Any]] = []

    def ask(self, ask: Ask) -> int:
        self.log.append(("ask", ask))
        return len(self.log)

    def ended(self, ticket: int, run: Run) -> None:
        assert self.log[ticket - 1] == ("ask", run.ask)
        self.log.append(("ended", run))

    def predictions(self, tickets: Sequence[int]) -> np.ndarray:
        assert [self.log[ticket - 1][0] for ticket in tickets] == ["ask"] * 150
        return np.log([[1e3, math.e * 1e3, 1e9]] * len(tickets))

    def retrain(self) -> None:
        self.log.append(("retrain", None))


def test_the_product_hears_of_a_trace_in_order_of_time(trace: Trace) -> None:
    learner = Recording()
    forecast = smartqueue.served(trace, learner)

    asked = 0
    for what, told in learner.log:
        if what == "ended":
            assert told.ended_at <= trace.submit[asked]
        if what == "retrain":
            assert asked in trace.starts_of_parts
        asked += what == "ask"
    assert [what for what, _ in learner.log].count("retrain") == 9
    assert forecast.high is not None
    np.testing.assert_allclose(forecast.seconds, math.e)
    np.testing.assert_allclose(forecast.high, np.full(150, 1e6))


def test_the_product_sees_rows_in_its_own_words(trace: Trace) -> None:
    view = smartqueue.View(trace)
    runs = [view.run(row) for row in range(len(trace))]
    assert len({run.ask.org_id for run in runs}) == 2
    assert len({run.ask.user_id for run in runs}) == 8
    assert {run.ask.timeout_s for run in runs} == {0, 60, 600}
    assert {run.ask.job_type for run in runs} == {"etl", "ml"}
    for row, run in enumerate(runs):
        killed = trace.ok[row] == 0 and trace.runtime[row] >= trace.requested[row]
        failed = "timeout" if killed else "failed"
        assert run.outcome == (failed if trace.ok[row] == 0 else "done")
        assert run.runtime_ms == trace.runtime[row] * 1000
        assert run.ended_at == run.ask.at + run.runtime_ms / 1000
        assert bool(run.ask.traits.volume) == (trace.cores[row] > 0)


def test_goals_take_the_worst_seed_and_the_best_other() -> None:
    found = [
        result
        for name, own in (("one", 0.9), ("two", 1.1))
        for result in (
            _result(name, "ewma_un", None, 1.0),
            _result(name, "hgb_abs", None, 0.95),
            _result(name, smartqueue.NAME, 0, own),
            _result(name, smartqueue.NAME, 1, own - 0.05),
        )
    ]
    by_name = {goal.name: goal.figure for goal in results.goals(found)}
    assert by_name["log2 error, average over the traces"] == pytest.approx(1.0)
    assert by_name["traces below the best simple predictor, of 2"] == 1
    assert by_name["log2 error over the best simple predictor's, worst trace"] == pytest.approx(1.1)
    assert by_name["log2 error over the best predictor's, worst trace"] == pytest.approx(1.1 / 0.95)
    assert results.goals(found[:2]) == []


@pytest.mark.parametrize("options", [[], ["--only=none"]])
def test_the_command_replays_a_small_trace(options: list[str], tmp_path: Path) -> None:
    histories.write(tmp_path, "small", 300)
    command = [sys.executable, "-m", "bench.predict", f"--traces={tmp_path}", "--only=small", "--no-peers"]
    done = subprocess.run(
        [*command, "--seeds=0", "--rows=250", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONDEVMODE": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if options:
        assert done.returncode == 1
        assert "expected none.csv.gz" in done.stderr
        return
    goals = [line for line in done.stdout.splitlines() if line.startswith("goal ")]
    assert done.returncode == (0 if all(line.endswith(" ok") for line in goals) else 1), done.stderr
    assert "### small: 250 jobs, 4 servers" in done.stdout
    assert len(goals) == 6
    for predictor in (*results.SIMPLE, "smartqueue, seed 0"):
        assert done.stdout.count(f"| {predictor} |") == 2, done.stdout


@needs_traces
def test_simple_predictors_reach_what_the_yardstick_says() -> None:
    trace = traces.load(traces.DEFAULT_FOLDER, REAL, 30_000)
    said = answers(trace, simple_predictors(trace))
    _hold_to_the_yardstick(trace, {name: Forecast(trace.capped(said[name])) for name in results.SIMPLE})


@needs_traces
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_boosting_reaches_what_the_yardstick_says() -> None:
    trace = traces.load(traces.DEFAULT_FOLDER, REAL, 30_000)
    try:
        python = boosting.boosting_python()
    except PeersMissing as error:
        pytest.skip(f"scikit-learn cannot be installed for the bench: {error}")
    ewma = answers(trace, simple_predictors(trace))["ewma_un"]
    _hold_to_the_yardstick(trace, boosting.boosted(python, trace, ewma))


def _hold_to_the_yardstick(trace: Trace, forecasts: dict[str, Forecast]) -> None:
    """The table rounds to three digits; it leaves out the gain of the global median."""
    queue, table = ordering.Queue(trace), _yardstick(trace.name)
    for name, forecast in forecasts.items():
        found, gain = scores.score(trace, forecast), queue.gain(forecast.seconds)
        ours = [found.mdape, found.log2, found.spearman, found.pairs, gain.wait, gain.slowdown]
        for figure, expected in zip(ours, table[name], strict=True):
            assert math.isnan(expected) or figure == pytest.approx(expected, abs=0.00051), name


def _yardstick(trace: str) -> dict[str, list[float]]:
    lines = [line.strip("| \n").split("|") for line in YARDSTICK.read_text().splitlines()]
    rows = [[cell.strip() for cell in line] for line in lines if line[0].strip() == trace and len(line) == 10]
    return {row[1]: [float(row[place]) for place in (2, 3, 4, 5, 8, 9)] for row in rows}


def _trace(submit: Sequence[float], runtime: Sequence[float]) -> Trace:
    unknown, names = np.full(len(submit), math.nan), [""] * len(submit)
    times = np.array(submit, float), np.array(runtime, float)
    return Trace("made", *times, unknown, unknown, unknown, names, names, names, names)


def _result(trace: str, predictor: str, seed: int | None, log2: float) -> results.Result:
    figures = scores.Scores(mdape=0.1, log2=log2, spearman=0.5, pairs=0.8, coverage=0.8)
    return results.Result(trace, predictor, seed, figures, ordering.Gain(0.5, 0.5))
