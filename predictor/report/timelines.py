"""The plots over time: the error of each type, the challenger's beside the baseline's, and the coverage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from predictor.report.data import Columns
from predictor.report.figures import Bucket, buckets, coverage, log2_error
from predictor.report.kinds import Group, groups
from predictor.report.markup import Html, join
from predictor.report.scales import Axis, moment, number_axis, share_axis, time_axis
from predictor.report.svg import WIDTH, Points, figure, frame, legend, line, marker, nothing, path, shorten

TARGET = 0.8
HALF = 316  # width of a panel where there are two in a row
PANEL, ROW, TOP, LEFT = 112, 172, 58, 44


def challenger_error(runs: Columns) -> float:
    return log2_error(runs, runs.predicted)


def baseline_error(runs: Columns) -> float:
    return log2_error(runs, runs.baseline)


def error_over_time(ended: Columns, width: int) -> Html:
    """A panel per type; all share their axes."""
    if not len(ended):
        return nothing("No run ended by itself, so there is no error to draw.")
    shown = groups(ended)
    lines = [(group, list(buckets(group[2], width))) for group in shown]
    highest = max(max(challenger_error(b.runs), baseline_error(b.runs)) for _, parts in lines for b in parts)
    columns = 1 if len(shown) == 1 else 2
    rows = -(-len(shown) // columns)
    panels = (
        _panel(group, parts, span(ended, width), max(highest, 0.1), columns, place)
        for place, (group, parts) in enumerate(lines)
    )
    return figure(
        "errors",
        TOP + ROW * rows - 20,
        "Error by type over time",
        _error_description(ended, shown),
        legend(LEFT, 14, [(_sample("challenger", 1), "challenger")]),
        legend(LEFT + 120, 14, [(_sample("baseline", 4), "baseline")]),
        *panels,
    )


def span(runs: Columns, width: int) -> tuple[float, float]:
    """From the start of the first part to the end of the last, in Unix seconds."""
    return float(runs.at[0] // width * width), float((runs.at[-1] // width + 1) * width)


def _panel(
    group: Group, parts: Sequence[Bucket], when: tuple[float, float], top: float, columns: int, place: int
) -> Html:
    name, _, own = group
    left = LEFT + place % columns * (HALF + LEFT)
    upper = TOP + place // columns * ROW
    wide = HALF if columns == 2 else WIDTH - LEFT - 20
    x = time_axis(*when, left, left + wide)
    y = number_axis(top, upper + PANEL, upper)
    return join(
        frame(x, y, y_title=f"{shorten(name, 28)} ({len(own):,})"),
        _series(parts, baseline_error, x, y, "baseline", 4),
        _series(parts, challenger_error, x, y, "challenger", 1),
    )


def _series(
    parts: Sequence[Bucket], measure: Callable[[Columns], float], x: Axis, y: Axis, class_: str, shape: int
) -> Html:
    """A line that is broken where nothing ran, and a marker for each part of the time."""
    pieces: list[list[tuple[float, float]]] = []
    previous: Bucket | None = None
    for part in parts:
        if previous is None or part.start > previous.start + previous.width:
            pieces.append([])
        pieces[-1].append((x(part.start + part.width / 2), y(measure(part.runs))))
        previous = part
    return join(*(_piece(points, class_, shape) for points in pieces))


def _piece(points: Points, class_: str, shape: int) -> Html:
    markers = (marker(at, height, shape, f"dot {class_}") for at, height in points)
    return join(path(points, f"line {class_}"), *markers)


def _sample(class_: str, shape: int) -> Html:
    return join(line(-12, 0, 10, 0, f"line {class_}"), marker(-1, 0, shape, f"dot {class_}"))


def coverage_over_time(ended: Columns, width: int) -> Html:
    if not len(ended):
        return nothing("No run ended by itself, so there is no coverage to draw.")
    parts = list(buckets(ended, width))
    x = time_axis(*span(ended, width), LEFT + 14, WIDTH - 20)
    y = share_axis(160, 30)
    shares = [coverage(part.runs) for part in parts]
    return figure(
        "coverage",
        190,
        "Coverage of the 80 % interval over time",
        f"Between {min(shares):.0%} and {max(shares):.0%} of the runs of each part of the time lay within "
        f"their interval, {coverage(ended):.0%} over all; 80 % is the aim.",
        frame(x, y, y_title="runs within their interval"),
        line(x.start, y(TARGET), x.end, y(TARGET), "exact"),
        _series(parts, coverage, x, y, "challenger", 1),
    )


def _error_description(ended: Columns, shown: Sequence[Group]) -> str:
    means = "; ".join(
        f"{name}: challenger {challenger_error(own):.2f}, baseline {baseline_error(own):.2f}"
        for name, _, own in shown
    )
    first, last = moment(float(ended.at[0])), moment(float(ended.at[-1]))
    return (
        f"Mean absolute log2 ratio of predicted to actual, from {first} to {last} UTC, one panel per type; lower "
        f"is better. Over the whole time: {means}."
    )
