"""The figures of a report against the same ones computed in plain Python, run by run and pair by pair."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import numpy as np
import pytest

from predictor.report import Judged
from predictor.report.data import columns
from predictor.report.figures import (
    BUCKET_WIDTHS,
    MOST_BUCKETS,
    bucket_width,
    buckets,
    calibration,
    figures,
    order_accuracy,
    spread,
)
from tests.predictor.report_page import HOUR, judged


def some(count: int, seed: int = 1) -> list[Judged]:
    """Runs of three types over five hours, in no order, a tenth of them without a champion."""
    draw = random.Random(seed)
    return [
        judged(
            at=HOUR + draw.random() * 5 * 3600,
            job_type=draw.choice(["http", "ml", "etl"]),
            actual_ms=float(draw.randint(1, 30) * 100),
            predicted_ms=float(draw.randint(1, 30) * 100),
            low_ms=float(draw.randint(1, 15) * 100),
            high_ms=float(draw.randint(15, 40) * 100),
            baseline_ms=draw.uniform(50, 4000),
            champion_ms=None if draw.random() < 0.1 else draw.uniform(50, 4000),
        )
        for _ in range(count)
    ]


def pairs_in_order(runs: list[Judged], name: str) -> float:
    right, pairs = 0.0, 0
    for one, other in itertools.combinations(runs, 2):
        if one.at // 3600 != other.at // 3600 or one.actual_ms == other.actual_ms:
            continue
        pairs += 1
        first, second = getattr(one, name), getattr(other, name)
        right += 0.5 if first == second else float((first < second) == (one.actual_ms < other.actual_ms))
    return right / pairs


@pytest.mark.parametrize("name", ["predicted", "champion", "baseline"])
def test_figures_are_those_of_a_plain_computation(name: str) -> None:
    runs = [run for run in some(300) if name != "champion" or run.champion_ms is not None]
    of = columns(some(300))
    found = figures(of, getattr(of, name), interval=True)
    said = [(getattr(run, f"{name}_ms"), run.actual_ms) for run in runs]
    assert found.runs == len(runs)
    assert found.log2 == pytest.approx(statistics.fmean(abs(math.log2(p / a)) for p, a in said))
    assert found.ape == pytest.approx(statistics.median(abs(p - a) / a for p, a in said))
    inside = sum(run.low_ms <= run.actual_ms <= run.high_ms for run in runs)
    assert found.coverage == pytest.approx(inside / len(runs))
    assert found.order == pytest.approx(pairs_in_order(runs, f"{name}_ms"))


def test_calibration_counts_an_equal_run_half() -> None:
    found = calibration(columns([judged(actual_ms=actual) for actual in (400.0, 500.0, 1500.0, 2000.0)]))
    assert found is not None
    assert (found.runs, found.low, found.median, found.high) == (4, 0.375, 0.5, 0.875)


def test_order_is_measured_within_an_hour_only() -> None:
    at = np.array([HOUR, HOUR + 3599, HOUR + 3600])
    actual = np.array([100.0, 200.0, 150.0])
    assert order_accuracy(at, actual, np.array([3.0, 4.0, 9.0])) == 1
    assert order_accuracy(at, actual, np.array([4.0, 3.0, 9.0])) == 0
    assert order_accuracy(at, actual, np.array([4.0, 4.0, 9.0])) == 0.5
    assert order_accuracy(at[1:], actual[1:], np.array([3.0, 9.0])) is None


def test_many_runs_of_an_hour_are_thinned_evenly() -> None:
    assert list(spread(3, 5)) == [0, 1, 2]
    assert list(spread(9, 5)) == [0, 2, 4, 6, 8]
    count = 3000
    actual = np.arange(1.0, count + 1)
    assert order_accuracy(np.full(count, HOUR), actual, actual) == 1
    assert order_accuracy(np.full(count, HOUR), actual, -actual) == 0


def test_buckets_hold_every_run_once() -> None:
    of = columns(some(200))
    width = bucket_width(of.at)
    parts = list(buckets(of, width))
    assert sum(len(part.runs) for part in parts) == 200
    for part in parts:
        assert part.start % width == 0
        assert ((part.start <= part.runs.at) & (part.runs.at < part.start + width)).all()


@pytest.mark.parametrize("seconds", [0, 30, 3600, 86_400, 30 * 86_400, 2_000 * 86_400])
def test_width_is_the_shortest_that_gives_few_enough_parts(seconds: int) -> None:
    at = np.array([HOUR, HOUR + seconds])
    width = bucket_width(at)
    shorter = [other for other in BUCKET_WIDTHS if other < width]
    assert at[1] // width - at[0] // width < MOST_BUCKETS
    assert all(at[1] // other - at[0] // other >= MOST_BUCKETS for other in shorter)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("at", -1.0), ("at", math.nan), ("at", 1e12), ("actual_ms", -1.0), ("predicted_ms", math.nan)),
        *(("low_ms", math.inf), ("high_ms", math.nan), ("baseline_ms", -0.5), ("champion_ms", math.inf)),
    ],
)
def test_what_is_no_time_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^{field}: expected"):
        judged(**{field: value})
