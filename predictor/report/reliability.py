"""The plot of calibration: the share of runs below the predicted low, median and high, beside 10, 50 and 90 %."""

from __future__ import annotations

from collections.abc import Sequence

from predictor.report.figures import Calibration
from predictor.report.markup import Html, join
from predictor.report.scales import Axis
from predictor.report.svg import WIDTH, figure, label, legend, line, marker, nothing, shorten

LEFT, TOP, ROW = 190, 40, 28
LEVELS = (("low", 0.1, 3), ("median", 0.5, 1), ("high", 0.9, 2))  # its name, its aim, its shape
Rows = Sequence[tuple[str, Calibration]]


def reliability(rows: Rows) -> Html:
    if not rows:
        return nothing("No run ended by itself, so there is no calibration to draw.")
    bottom = TOP + ROW * len(rows)
    x = Axis(0, 1, LEFT, WIDTH - 24)
    legends = (
        legend(LEFT + 14 + 150 * n, 16, [(marker(0, 0, shape, f"level {name}"), f"below the {name}")])
        for n, (name, _, shape) in enumerate(LEVELS)
    )
    return figure(
        "calibration",
        bottom + 44,
        "Calibration",
        _description(rows),
        *legends,
        _aims(x, bottom),
        *(_row(x, TOP + ROW * (n + 0.5), name, row) for n, (name, row) in enumerate(rows)),
        label((x.start + x.end) / 2, bottom + 34, "share of runs", "title", "middle"),
    )


def _aims(x: Axis, bottom: float) -> Html:
    ends = (join(line(x(at), TOP, x(at), bottom, "grid"), _share(x(at), bottom, at)) for at in (0, 1))
    aims = (
        join(line(x(aim), TOP, x(aim), bottom, "exact"), _share(x(aim), bottom, aim)) for _, aim, _ in LEVELS
    )
    return join(line(LEFT, bottom, x.end, bottom, "axis"), *ends, *aims)


def _share(x: float, bottom: float, share: float) -> Html:
    return label(x, bottom + 16, f"{100 * share:.0f} %", anchor="middle")


def _row(x: Axis, y: float, name: str, row: Calibration) -> Html:
    """Each marker is tied to its aim, so that the line between shows what is missing."""
    marks = (
        join(line(x(aim), y, x(share), y, f"miss {level}"), marker(x(share), y, shape, f"level {level}"))
        for (level, aim, shape), share in zip(LEVELS, (row.low, row.median, row.high), strict=True)
    )
    words = f"{shorten(name, 16)} ({row.runs:,})"
    return join(label(LEFT - 16, y + 4, words, "key", "end"), line(LEFT, y, x.end, y, "grid"), *marks)


def _description(rows: Rows) -> str:
    return " ".join(
        f"{name}: {row.low:.0%} of {row.runs:,} runs below the predicted low, {row.median:.0%} below the median, "
        f"{row.high:.0%} below the high."
        for name, row in rows
    )
