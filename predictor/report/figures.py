"""The figures of a report: errors, order, coverage and calibration of predictions, and the same over time.

Pure: arrays in, numbers out; None where there is nothing to measure. Used by the tables and plots.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from predictor.report.data import Columns, Floats

HOUR_S = 3600
MOST_OF_AN_HOUR = 400  # runs of one hour whose pairs are compared, spread evenly over it
MOST_BUCKETS = 24
_MINUTE, _DAY = 60, 86_400
BUCKET_WIDTHS = (
    *(_MINUTE * many for many in (1, 5, 15, 30)),
    *(HOUR_S * many for many in (1, 3, 6, 12)),
    *(_DAY * many for many in (1, 2, 7, 14, 28, 91, 182, 364, 3640, 36_400)),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """How well one predictor did. Shares from 0 to 1; None where nothing could be measured."""

    runs: int
    log2: float | None  # mean |log2(predicted / actual)|
    ape: float | None  # median of |predicted - actual| / actual
    coverage: float | None
    order: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Share of runs below the predicted low, median and high; a run that is equal counts half."""

    runs: int
    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """The runs asked for from `start` on (Unix seconds), `width` seconds long."""

    start: int
    width: int
    runs: Columns


def figures(runs: Columns, predicted: Floats, *, interval: bool = False) -> Figures:
    """Of the runs with a prediction; `interval` says that low and high belong to it."""
    known = ~np.isnan(predicted)
    runs, predicted = runs.where(known), predicted[known]
    if not len(runs):
        return Figures(0, None, None, None, None)
    return Figures(
        runs=len(runs),
        log2=log2_error(runs, predicted),
        ape=float(np.median(np.abs(predicted - runs.actual) / runs.actual)),
        coverage=coverage(runs) if interval else None,
        order=order_accuracy(runs.at, runs.actual, predicted),
    )


def log2_error(runs: Columns, predicted: Floats) -> float:
    return float(np.mean(np.abs(np.log2(predicted / runs.actual))))


def coverage(runs: Columns) -> float:
    return float(np.mean((runs.low <= runs.actual) & (runs.actual <= runs.high)))


def order_accuracy(at: Floats, actual: Floats, predicted: Floats) -> float | None:
    """Share of the pairs of one hour that are predicted in the right order; a predicted tie counts half."""
    right, pairs = 0.0, 0
    hours = np.floor(at / HOUR_S)
    for rows in np.split(np.arange(len(at)), np.flatnonzero(np.diff(hours)) + 1):
        chosen = rows[spread(len(rows), MOST_OF_AN_HOUR)]
        true, said = (_order(times[chosen]) for times in (actual, predicted))
        differ = true != 0
        pairs += int(differ.sum())
        right += float((true == said)[differ].sum()) + 0.5 * float((said == 0)[differ].sum())
    return right / pairs if pairs else None


def _order(times: Floats) -> Floats:
    """The sign of the difference of every pair."""
    first, second = np.triu_indices(len(times), 1)
    return np.sign(times[first] - times[second])


def spread(count: int, most: int) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """At most `most` indices below `count`, evenly spaced, the first and the last among them."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.intp)


def calibration(runs: Columns) -> Calibration | None:
    if not len(runs):
        return None
    low, median, high = (
        float(np.mean((runs.actual < level) + 0.5 * (runs.actual == level)))
        for level in (runs.low, runs.predicted, runs.high)
    )
    return Calibration(len(runs), low, median, high)


def bucket_width(at: Floats) -> int:
    """The shortest of BUCKET_WIDTHS that cuts these moments into at most MOST_BUCKETS parts."""
    if not len(at):
        return BUCKET_WIDTHS[0]
    fitting = (width for width in BUCKET_WIDTHS if at[-1] // width - at[0] // width < MOST_BUCKETS)
    return next(fitting, BUCKET_WIDTHS[-1])


def buckets(runs: Columns, width: int) -> Iterator[Bucket]:
    """The runs by time, empty parts left out."""
    number = np.floor(runs.at / width)
    for value in np.unique(number):
        yield Bucket(int(value) * width, width, runs.where(number == value))
