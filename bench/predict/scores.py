"""How good forecasts are, on the scored rows of a trace: errors, order, and how often the interval holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bench.predict.replay import Forecast
from bench.predict.traces import SHORTEST_S, Floats, Trace

WINDOW_S = 3600  # pairs are made of jobs that were submitted within the same hour
PAIRS_OF_WINDOW = 400
PAIRS_SEED = 0


@dataclass(frozen=True)
class Scores:
    """`mdape`: median absolute percentage error, as a share. `log2`: mean |log2(predicted / actual)|. `pairs`:
    share of pairs in the right order, ties counting one half. `coverage`: share of the runtimes within the
    interval; NaN without one."""

    mdape: float
    log2: float
    spearman: float
    pairs: float
    coverage: float


def score(trace: Trace, forecast: Forecast) -> Scores:
    actual = trace.runtime[trace.first_scored :]
    predicted = _scored(trace, forecast.seconds)
    return Scores(
        mdape=float(np.median(np.abs(predicted - actual) / actual)),
        log2=float(np.mean(np.abs(np.log2(predicted / actual)))),
        spearman=spearman(predicted, actual),
        pairs=pair_accuracy(trace.submit[trace.first_scored :], actual, predicted),
        coverage=_coverage(trace, forecast),
    )


def spearman(one: Floats, other: Floats) -> float:
    """Rank correlation; ties share the mean of their ranks. 0 when one side is constant."""
    ranks = [_ranks(side) - (len(side) + 1) / 2 for side in (one, other)]
    sizes = [float(np.sqrt(np.vdot(rank, rank))) for rank in ranks]
    return float(np.vdot(*ranks)) / (sizes[0] * sizes[1]) if all(sizes) else 0.0


def pair_accuracy(submit: Floats, actual: Floats, predicted: Floats) -> float:
    """Over pairs of different runtimes from the same window: all of a small window, a sample of a large one."""
    right = pairs = 0.0
    for one, other in _pairs(submit):
        truth = np.sign(actual[one] - actual[other])
        said = np.sign(predicted[one] - predicted[other])[truth != 0]
        truth = truth[truth != 0]
        right += np.count_nonzero(said == truth) + np.count_nonzero(said == 0) / 2
        pairs += len(truth)
    return right / pairs if pairs else math.nan


def _pairs(submit: Floats) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(PAIRS_SEED)
    windows = np.floor_divide(submit, WINDOW_S)
    borders = [0, *(np.flatnonzero(np.diff(windows)) + 1), len(submit)]
    for begin, end in pairwise(borders):
        size = end - begin
        if size * (size - 1) // 2 > PAIRS_OF_WINDOW:
            yield tuple(begin + rng.integers(0, size, PAIRS_OF_WINDOW) for _ in range(2))
        elif size > 1:
            one, other = np.triu_indices(size, 1)
            yield begin + one, begin + other


def _ranks(values: Floats) -> Floats:
    """Ranks from 1 (N,); equal values share the mean of their ranks."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[which]
    return ranks


def _coverage(trace: Trace, forecast: Forecast) -> float:
    if forecast.low is None or forecast.high is None:
        return math.nan
    actual = trace.runtime[trace.first_scored :]
    low, high = _scored(trace, forecast.low), _scored(trace, forecast.high)
    return float(np.mean((low <= actual) & (actual <= high)))


def _scored(trace: Trace, seconds: Floats) -> Floats:
    return np.maximum(seconds[trace.first_scored :], SHORTEST_S)
