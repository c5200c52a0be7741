"""The report as one HTML file: the verdict and its figures first, then the plots, then the table by type.

`write` is called by `manage.py retrain --report`; `render` is the same page as a string.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from predictor.report import tables
from predictor.report.data import Columns, Judged, columns
from predictor.report.figures import Bucket, bucket_width, buckets, calibration
from predictor.report.kinds import groups
from predictor.report.markup import Html, el
from predictor.report.reliability import Rows, reliability
from predictor.report.scales import duration, moment
from predictor.report.scatter import MOST_POINTS, scatter
from predictor.report.style import CSS, POLICY
from predictor.report.timelines import coverage_over_time, error_over_time


def write(
    path: Path, *, title: str, summary: Mapping[str, str | float], verdict: str, runs: Sequence[Judged]
) -> None:
    """The report as a file, whole or not at all; one that is there is replaced.

    Raises OSError, naming the path, when it cannot be written.
    """
    page = render(title=title, summary=summary, verdict=verdict, runs=runs)
    try:
        _replace(path.resolve(), page.encode())
    except (OSError, RuntimeError, ValueError) as error:  # resolve raises all three, by version and path
        reason = getattr(error, "strerror", None) or error
        raise OSError(f"The report could not be written to {path}: {reason}") from error


def _replace(target: Path, content: bytes) -> None:
    if target.exists() and not target.is_file():
        raise OSError("expected the path of a file, and this is something else")
    beside = target.with_name(f".report-{secrets.token_hex(6)}")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def render(*, title: str, summary: Mapping[str, str | float], verdict: str, runs: Sequence[Judged]) -> str:
    of = columns(runs)
    body = el("main", *_opening(title, verdict, summary, of), *_plots(of), *_by_type(of), *_method(of))
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", title),
        el("style", Html(CSS)),
    )
    return f"<!doctype html>\n{el('html', head, el('body', body), lang='en')}\n"


def _opening(title: str, verdict: str, summary: Mapping[str, str | float], runs: Columns) -> Iterator[Html]:
    yield el("h1", title)
    yield el("p", verdict, class_="verdict")
    yield tables.overview(runs.ended())
    yield el("p", _which(runs), class_="note")
    if summary:
        yield el("h2", "The training")
        yield tables.facts(summary)


def _which(runs: Columns) -> str:
    if not len(runs):
        return "There were no unseen runs to judge by."
    when = f"{len(runs):,} runs, asked for from {moment(runs.at[0])} to {moment(runs.at[-1])} UTC."
    cut = int(runs.censored.sum())
    if not cut:
        return f"{when} Bold is best."
    outlived = int((runs.censored & (runs.actual > runs.predicted)).sum())
    return (
        f"{when} {cut:,} of them were cut short, by their limit or from outside: how long they would have taken "
        f"is not known, so they are in no figure; {outlived:,} had by then run longer than predicted. "
        "Bold is best."
    )


def _plots(runs: Columns) -> Iterator[Html]:
    ended, wide = runs.ended(), bucket_width(runs.at)
    yield el("h2", "Predicted against actual")
    yield tables.captioned(scatter(runs), _scatter_caption(runs))
    yield el("h2", "Error by type over time")
    every = f"Each marker is the mean of {duration(1000 * wide)}; a gap is a time in which nothing ended."
    yield tables.captioned(
        error_over_time(ended, wide), f"Mean |log₂(predicted / actual)|; lower is better. {every}"
    )
    yield _numbers(ended, wide)
    yield el("h2", "Calibration")
    rows = _calibrations(ended)
    told = "Share of runs below each predicted level. The upright lines are the aims; the bars are what is missing."
    yield tables.captioned(reliability(rows), told)
    yield tables.calibrations(rows)
    aim = "Coverage of the 80 % interval over time. The line at 80 % is the aim."
    yield tables.captioned(coverage_over_time(ended, wide), aim)


def _scatter_caption(runs: Columns) -> str:
    told = (
        "Both axes are logarithmic. Above the solid line a run was shorter than predicted, below it longer."
    )
    some = f" {MOST_POINTS:,} points at most, evenly over time." if len(runs) > MOST_POINTS else ""
    return told + some


def _numbers(ended: Columns, wide: int) -> Html:
    parts: list[tuple[str, Bucket]] = [
        (name, part) for name, _, own in groups(ended) for part in buckets(own, wide)
    ]
    return el("details", el("summary", "The same in numbers"), tables.over_time(parts)) if parts else Html()


def _calibrations(ended: Columns) -> Rows:
    named = [("all types", ended), *((name, own) for name, _, own in groups(ended))]
    return [(name, row) for name, own in named if (row := calibration(own))]


def _by_type(runs: Columns) -> Iterator[Html]:
    if len(runs):
        yield el("h2", "By type")
        yield tables.by_type(runs)


def _method(runs: Columns) -> Iterator[Html]:
    yield el("h2", "How to read the figures")
    yield el(
        "p",
        "Mean |log₂ ratio|: 0 is exact, 1 is wrong by a factor of two in either direction. "
        "Median error: half of the predictions were closer to the actual runtime than this share of it. "
        "80 % interval covers: share of runs between the predicted low and high; 80 % is the aim. "
        "Pairs in order: of two runs asked for in the same hour, how often the one predicted to be shorter was "
        "(a tie counts half, 50 % is chance).",
        class_="note",
    )
    if np.isnan(runs.champion).all():
        yield el("p", "There was no model in force to compare with.", class_="note")
    elif np.isnan(runs.champion).any():
        words = "The champion had no prediction for some of these runs; its figures are of the others."
        yield el("p", words, class_="note")
