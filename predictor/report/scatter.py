"""The plot of predicted against actual runtimes: both on one log scale, a marker per run."""

from __future__ import annotations

import numpy as np

from predictor.report.data import Columns
from predictor.report.figures import spread
from predictor.report.kinds import Group, groups
from predictor.report.markup import Html, join
from predictor.report.scales import Axis, duration, duration_axis, duration_range
from predictor.report.svg import figure, frame, label, legend, line, marker, nothing, shorten

MOST_POINTS = 2000
LEAST_OF_A_GROUP = 100  # a rare type keeps this many of its points
LEFT, TOP, SIDE = 70, 34, 460
HEIGHT = TOP + SIDE + 50


def scatter(runs: Columns) -> Html:
    if not len(runs):
        return nothing("No runs to draw.")
    low, high = duration_range(np.concatenate([runs.actual, runs.predicted]))
    x = duration_axis(low, high, LEFT, LEFT + SIDE)
    y = duration_axis(low, high, TOP + SIDE, TOP)
    shown = [(name, shape, _thinned(own, len(runs))) for name, shape, own in groups(runs)]
    count = sum(len(own) for _, _, own in shown)
    return figure(
        "scatter",
        HEIGHT,
        "Predicted against actual runtime",
        _description(runs, count),
        frame(x, y, x_title="actual runtime", y_title="predicted runtime"),
        _guides(x, y),
        *(_points(group, x, y) for group in shown),
        _legend(runs, shown),
    )


def _thinned(own: Columns, total: int) -> Columns:
    few = min(len(own), LEAST_OF_A_GROUP)
    share = (MOST_POINTS - 6 * LEAST_OF_A_GROUP) * len(own) // total
    return own.where(spread(len(own), few + share))


def _guides(x: Axis, y: Axis) -> Html:
    """The diagonal, and the lines of twice and half the actual runtime, cut off at the frame."""
    low, high = x.low, x.high
    return join(
        line(x(low), y(low), x(high), y(high), "exact"),
        line(x(low), y(2 * low), x(high / 2), y(high), "twice"),
        line(x(2 * low), y(low), x(high), y(high / 2), "twice"),
    )


def _points(group: Group, x: Axis, y: Axis) -> Html:
    _, shape, own = group
    return join(
        *(
            marker(x(actual), y(predicted), shape, f"point t{shape}{' open' if censored else ''}")
            for actual, predicted, censored in zip(own.actual, own.predicted, own.censored, strict=True)
        )
    )


def _legend(runs: Columns, shown: list[Group]) -> Html:
    of_type = groups(runs)
    entries = [
        (marker(0, 0, shape, f"t{shape}"), f"{shorten(name, 14)} ({len(own):,})")
        for name, shape, own in of_type
    ]
    entries += [
        (line(-9, 0, 9, 0, "exact"), "exact"),
        (line(-9, 0, 9, 0, "twice"), "twice, half"),
    ]
    if runs.censored.any():
        entries.append((marker(0, 0, 1, "t1 open"), "hollow: cut short,"))
    left = LEFT + SIDE + 26
    words = legend(left, TOP + 10, entries)
    if runs.censored.any():
        words = join(words, label(left + 14, TOP + 10 + 20 * len(entries) - 2, "took at least this", "key"))
    return words


def _description(runs: Columns, count: int) -> str:
    ended = runs.ended()
    drawn = "all" if count == len(runs) else f"{count:,} of"
    said = f"A marker for {drawn} {len(runs):,} runs, by type; on the diagonal a prediction was exact."
    if not len(ended):
        return f"{said} Every run was cut short, so none has a true runtime."
    near = np.abs(np.log2(ended.predicted / ended.actual))
    middle = duration(float(np.median(ended.actual)))
    return (
        f"{said} {np.mean(near <= 1):.0%} of those that ran to their end were predicted within a factor of two; "
        f"half of them took less than {middle}."
    )
