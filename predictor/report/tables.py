"""The tables of a report: the predictors beside each other, by type, calibration, and what the plots over time show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from predictor.report.data import Columns
from predictor.report.figures import Bucket, Calibration, Figures, coverage, figures
from predictor.report.markup import Html, el, join
from predictor.report.reliability import LEVELS
from predictor.report.scales import duration, moment
from predictor.report.timelines import baseline_error, challenger_error

NONE = "\N{EN DASH}"
MOST_SHARE = 1000  # of which the percents are still written out
PREDICTORS = ("challenger", "champion", "baseline")


def overview(ended: Columns) -> Html:
    """A row per predictor; the best error and order in bold."""
    found = of_each(ended)
    shown = {name: own for name, own in found.items() if own.runs or name != "champion"}
    errors = [number(own.log2) for own in shown.values()]
    percents = [percent(own.ape) for own in shown.values()]
    orders = [percent(own.order) for own in shown.values()]
    rows = zip(
        shown,
        best(errors, [own.log2 for own in shown.values()]),
        best(percents, [own.ape for own in shown.values()]),
        (percent(own.coverage) for own in shown.values()),
        best(orders, [own.order and -own.order for own in shown.values()]),
        (f"{own.runs:,}" for own in shown.values()),
        strict=True,
    )
    heads = (
        "predictor",
        "mean |log₂ ratio|",
        "median error",
        "80 % interval covers",
        "pairs in order",
        "runs",
    )
    return table("overview", "On the newest runs, which none of them had seen", heads, rows)


def of_each(ended: Columns) -> dict[str, Figures]:
    return {
        "challenger": figures(ended, ended.predicted, interval=True),
        "champion": figures(ended, ended.champion),
        "baseline": figures(ended, ended.baseline),
    }


def by_type(runs: Columns) -> Html:
    """A row per job type, the best mean error of each in bold."""
    heads = (
        *("type", "runs", "cut short", "median runtime", "challenger", "champion", "baseline"),
        *("median error", "interval covers", "pairs in order"),
    )
    rows = (_type_row(kind, runs.of({kind})) for kind in runs.kinds())
    return table("types", "Mean |log₂ ratio| of each predictor, and more of the challenger", heads, rows)


def _type_row(kind: str, runs: Columns) -> Sequence[str]:
    ended = runs.ended()
    found = of_each(ended)
    errors = [found[name].log2 for name in PREDICTORS]
    challenger = found["challenger"]
    return (
        kind,
        f"{len(runs):,}",
        f"{int(runs.censored.sum()):,}",
        duration(float(np.median(ended.actual))) if len(ended) else NONE,
        *best([number(error) for error in errors], errors),
        percent(challenger.ape),
        percent(challenger.coverage),
        percent(challenger.order),
    )


def calibrations(rows: Iterable[tuple[str, Calibration]]) -> Html:
    heads = (
        "type",
        "runs",
        *(f"below the {name} ({100 * aim:.0f}\N{NO-BREAK SPACE}%)" for name, aim, _ in LEVELS),
    )
    body = (
        (name, f"{row.runs:,}", percent(row.low), percent(row.median), percent(row.high))
        for name, row in rows
    )
    return table("levels", "Share of runs below what was predicted, and what it should be", heads, body)


def over_time(parts: Iterable[tuple[str, Bucket]]) -> Html:
    """What the plots over time show, in numbers: a row per part of the time and type."""
    heads = ("from (UTC)", "type", "runs", "challenger", "baseline", "interval covers")
    rows = (
        (
            moment(part.start),
            name,
            f"{len(part.runs):,}",
            number(challenger_error(part.runs)),
            number(baseline_error(part.runs)),
            percent(coverage(part.runs)),
        )
        for name, part in parts
    )
    return table("parts", "Mean |log₂ ratio| and coverage by time and type", heads, rows)


def facts(summary: Mapping[str, str | float]) -> Html:
    rows = ((name, value if isinstance(value, str) else amount(value)) for name, value in summary.items())
    return table("summary", "", (), rows)


def table(name: str, caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """A table whose rows begin with their own heading. It may be scrolled sideways where it does not fit."""
    top = el("thead", el("tr", *(el("th", words, scope="col") for words in heads))) if heads else ""
    body = (el("tr", el("th", row[0], scope="row"), *(el("td", cell) for cell in row[1:])) for row in rows)
    whole = el("table", el("caption", caption) if caption else "", top, el("tbody", *body), id=name)
    return el("div", whole, class_="wide", tabindex=0, role="region", aria_label=caption or name)


def best(cells: Sequence[str], errors: Sequence[float | None]) -> list[str]:
    """The same cells, those with the smallest error in bold, if there is a choice."""
    known = [error for error in errors if error is not None]
    least = min(known) if len(known) > 1 else None
    return [
        el("strong", cell) if least is not None and error == least else cell
        for cell, error in zip(cells, errors, strict=True)
    ]


def number(value: float | None) -> str:
    return NONE if value is None else f"{value:,.3f}"


def percent(share: float | None) -> str:
    if share is None:
        return NONE
    return f"{100 * share:,.1f} %" if share <= MOST_SHARE else f"over {100 * MOST_SHARE:,} %"


def amount(value: float) -> str:
    return (
        f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    )


def captioned(svg: Html, words: str) -> Html:
    scrolled = el("div", svg, class_="wide", tabindex=0, role="region", aria_label=words.partition(".")[0])
    return join(el("figure", scrolled, el("figcaption", words)))
