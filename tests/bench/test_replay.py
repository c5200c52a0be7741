"""The replay of histories in virtual time: queues small enough to be reckoned by hand, and the command."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.predict import traces
from bench.predict.ordering import LOAD, Arrivals, Queue, waits_of
from bench.predict.replay import Forecast
from bench.predict.traces import Trace
from bench.replay import frontier, live, measures, orders, results
from bench.replay.fair import FairQueue
from jobs.ordering import NORMAL, LaneRule, Ordering
from tests.bench import histories

ROOT = Path(__file__).resolve().parents[2]
HOUR_S = 3600.0


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    histories.write(tmp_path, "small", 200)
    return traces.load(tmp_path, "small", 1000)


@pytest.fixture
def queue() -> Arrivals:
    """One server. First come, first served they wait 0, 9, 13, 13 s; shortest first 0, 13, 8, 8 s."""
    return Arrivals(np.array([0.0, 1, 2, 3]), np.array([10.0, 5, 1, 3]), servers=1)


def rules(patience: float, max_wait_s: float = math.inf) -> Ordering:
    return Ordering({NORMAL: LaneRule(patience, max_wait_s=max_wait_s)})


def made(
    submit: Sequence[float], runtime: Sequence[float], requested: Sequence[float], jobs: Sequence[str]
) -> Trace:
    unknown, same = np.full(len(submit), math.nan), [""] * len(submit)
    columns = [np.array(column, float) for column in (submit, runtime, requested)]
    return Trace("made", *columns, unknown, unknown, same, same, jobs, same)


def test_first_come_first_served_by_hand(queue: Arrivals) -> None:
    found = measures.measure(queue, queue.arrivals)
    assert (found.wait, found.largest_wait, found.completion) == (8.75, 13, 13.5)
    assert found.p95_wait == pytest.approx(13)
    assert found.slowdown == pytest.approx((1 + 1.4 + 1.4 + 1.6) / 4)  # a runtime counts as 10 s at least
    assert (found.gain_wait, found.gain_slowdown, found.faster) == (0, 0, 0)


def test_the_oracle_by_hand(queue: Arrivals) -> None:
    found = measures.measure(queue, queue.runtimes)
    assert (found.wait, found.largest_wait, found.completion) == (7.25, 13, 12)
    assert found.slowdown == pytest.approx((1 + 1.8 + 1 + 1.1) / 4)
    assert (found.gain_wait, found.gain_slowdown) == (1, 1)
    assert found.faster == pytest.approx(1 - 12 / 13.5)


def test_nobody_starts_before_it_comes_unless_the_yardstick_is_followed() -> None:
    arrivals, runtimes = np.array([5.0, 5, 6]), np.array([4.0, 4, 4])
    assert waits_of(arrivals, runtimes, runtimes, servers=2).tolist() == [0, 0, 3]
    assert waits_of(arrivals, runtimes, runtimes, servers=2, early=True).tolist() == [0, -5, 0]


def test_patience_goes_from_first_come_first_served_to_the_shortest_predicted(trace: Trace) -> None:
    queue, forecast = Queue(trace, early=False), Forecast(trace.runtime)
    keys = [orders.ranks(rules(patience), queue, forecast) for patience in (0, 1e12)]
    gains = [measures.measure(queue, key).gain_slowdown for key in keys]
    assert gains == pytest.approx([0, 1])


def test_keys_are_the_ranks_of_the_product(trace: Trace) -> None:
    queue, tried = Queue(trace, early=False), rules(30, HOUR_S)
    forecast = Forecast(trace.runtime, low=trace.runtime / 2, high=trace.runtime * 9)
    keys = orders.ranks(tried, queue, forecast)
    for place in (0, 17, len(keys) - 1):
        ms = float(trace.runtime[queue.first + place]) * 1000
        due = float(queue.arrivals[place])
        expected = tried.rank(due_at_s=due, lane=NORMAL, predicted_ms=ms, low_ms=ms / 2, high_ms=ms * 9)
        assert keys[place] == pytest.approx(expected)


def test_no_replayed_job_is_passed_by_one_that_came_after_the_longest_wait(trace: Trace) -> None:
    queue, longest = Queue(trace, early=False), 300.0
    keys = orders.ranks(rules(1000, longest), queue, Forecast(trace.runtime))
    starts = queue.arrivals + queue.waits(keys)
    for job, arrival in enumerate(queue.arrivals):
        late = queue.arrivals > arrival + longest
        assert not (starts[late] < starts[job]).any()
    assert measures.measure(queue, keys).gain_slowdown > 0


def test_static_classes_are_thirds_of_what_is_known_at_the_beginning() -> None:
    names = ["a", "b", "c"] * 10
    known = made(range(0, 3000, 100), [1, 50, 90] * 10, [math.nan] * 30, names)
    assert orders.static_classes(known)[3:].tolist() == [0, 1, 2] * 9
    requested = made(range(30), [5] * 30, [60, 600, 6000] * 10, names)
    assert orders.static_classes(requested)[3:].tolist() == [0, 1, 2] * 9
    nothing = replace(known, runtime=np.full(30, 1e6))  # nothing had ended when the scored part began
    assert set(orders.static_classes(nothing)) == {orders.MIDDLE}


def test_a_static_order_is_first_come_first_served_within_a_class(trace: Trace) -> None:
    queue = Queue(trace, early=False)
    keys, classes = (
        orders.fixed_keys(trace, queue)[orders.STATIC],
        orders.static_classes(trace)[queue.first :],
    )
    assert len(set(classes)) == orders.CLASSES
    order = np.argsort(keys)
    assert (np.diff(classes[order]) >= 0).all()
    assert all((np.diff(order[classes[order] == one]) > 0).all() for one in range(orders.CLASSES))


def test_fair_turns_of_one_organisation_are_the_plain_order(trace: Trace) -> None:
    queue = Queue(trace, early=False)
    keys = orders.ranks(rules(100), queue, Forecast(trace.runtime))
    fair = FairQueue(queue, [7] * len(keys), keys, queue.runtimes, HOUR_S).waits()
    np.testing.assert_allclose(fair, queue.waits(keys))


def test_fair_turns_are_in_seconds_and_settled_with_what_jobs_took() -> None:
    """The first organisation's jobs take three times what was predicted: the other one gets three for each."""
    count = 40
    queue = Arrivals(np.zeros(2 * count), np.array([30.0] * count + [10.0] * count), servers=1)
    orgs = [1] * count + [2] * count
    predicted = np.full(2 * count, 10.0)
    waits = FairQueue(queue, orgs, np.arange(2.0 * count), predicted, half_life_s=1e9).waits()
    began = [int((waits[part] < 600).sum()) for part in (slice(0, count), slice(count, None))]
    assert began[0] == pytest.approx(10, abs=1)
    assert began[1] == pytest.approx(30, abs=1)


def test_the_frontier_has_every_setting_and_its_ends(trace: Trace) -> None:
    queue = Queue(trace, early=False)
    points = frontier.points(rules(1), queue, Forecast(trace.runtime))
    assert len(frontier.PATIENCES) == 10
    assert (
        len({(point.patience, point.cap_s) for point in points}) == len(points) == 10 * len(frontier.CAPS_S)
    )
    free = [point for point in points if math.isinf(point.cap_s)]
    assert free[-1].measures.gain_slowdown == pytest.approx(1, abs=0.02)
    largest = queue.waits(queue.arrivals).max()
    assert free[-1].stretched == pytest.approx(free[-1].measures.largest_wait / largest)


def test_goals_take_the_worst_seed_and_both_reckonings() -> None:
    found = [
        _result(trace, seed, gain, by_yardstick=gain - 0.01)
        for trace, gains in (("one", (0.99, 0.95)), ("two", (0.93, 0.95)))
        for seed, gain in enumerate(gains)
    ]
    simple = [
        results.Simple(trace, name, gain)
        for trace in ("one", "two")
        for name, gain in (("a", 0.8), ("b", 0.9))
    ]
    figures = [goal.figure for goal in results.goals(found, simple)]
    assert figures == pytest.approx([0.95, 0.93, 0.94, 0.92, 0.05, 40])


def _result(trace: str, seed: int, gain: float, by_yardstick: float) -> results.Result:
    found = measures.Measures(1, 1, 1, 1, 1, gain_wait=0.5, gain_slowdown=gain, faster=0.4)
    return results.Result(trace, orders.SMARTQUEUE, seed, found, by_yardstick)


def test_a_piece_for_a_live_replay_has_the_load_of_the_others(trace: Trace) -> None:
    piece = live.cut(trace, jobs=100, seconds=30)
    played = piece.runtimes[piece.history :]
    assert piece.history == trace.first_scored
    assert len(played) == len(piece.arrivals) == 100
    assert piece.arrivals[0] == 0
    assert piece.arrivals[-1] == pytest.approx(30)
    assert played.sum() == pytest.approx(
        30 * live.SERVERS * LOAD, rel=0.02
    )  # a few are raised to the shortest
    order = np.argsort(trace.runtime[trace.first_scored :][:100], kind="stable")
    assert (np.diff(played[order]) >= 0).all()


def _command(folder: Path, *options: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.replay", f"--traces={folder}", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONDEVMODE": ""},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_the_command_replays_a_small_trace(tmp_path: Path) -> None:
    histories.write(tmp_path, "small", 300)
    done = _command(tmp_path, "--all", "--seed=0", "--rows=250", "--frontier", "--fair")
    goals = [line for line in done.stdout.splitlines() if line.startswith("goal ")]
    assert len(goals) == 6, done.stderr
    assert done.returncode == (0 if all(line.endswith(" ok") for line in goals) else 1)
    assert "### small: 250 jobs, 4 servers" in done.stdout
    for order in (orders.FIFO, orders.STATIC, orders.ORACLE):
        assert done.stdout.count(f"| {order} |") == 2, done.stdout
    for order in (orders.SMARTQUEUE, orders.CAPPED, orders.FAIR):
        assert done.stdout.count(f"| {order}, seed 0 |") == 2, done.stdout
    assert done.stdout.count("### Frontier") == len(frontier.CAPS_S)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["none"], "expected none.csv.gz there"),
        ([], "expected the name of a trace, or --all"),
        (["--all"], "expected files *.csv.gz there"),
        (["small", "--rows=5"], "expected at least 100 rows, got 5"),
    ],
)
def test_a_wrong_command_says_what_was_expected(options: list[str], said: str, tmp_path: Path) -> None:
    done = _command(tmp_path, *options)
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_trace_is_played_live(tmp_path: Path) -> None:
    histories.write(tmp_path, "small", 150)
    done = _command(tmp_path, "small", "--live", "--jobs=40", "--seconds=6", timeout=180)
    assert done.returncode == 0, done.stderr
    assert "### small, 40 jobs in 6 s" in done.stdout
    for order in (orders.FIFO, live.LIVE, live.VIRTUAL, orders.ORACLE):
        assert done.stdout.count(f"| {order} |") == 1
