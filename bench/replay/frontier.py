"""Gain against the worst wait: ten values of patience, with caps of several lengths and with none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import report
from bench.predict.ordering import Queue
from bench.predict.replay import Forecast
from bench.replay.measures import Measures, measure
from bench.replay.orders import ranks, with_rule
from bench.replay.results import mean
from jobs.ordering import Ordering

PATIENCES = (10.0, 30.0, 100.0, 300.0, 1000.0, 2000.0, 3000.0, 10_000.0, 30_000.0, 100_000.0)
DAY_S = 86_400.0
CAPS_S = (math.inf, *(days * DAY_S for days in (1, 3, 7, 60)))


@dataclass(frozen=True)
class Point:
    """One setting on one trace; `stretched`: its largest wait over FIFO's."""

    patience: float
    cap_s: float
    measures: Measures
    stretched: float


def points(rules: Ordering, queue: Queue, forecast: Forecast) -> list[Point]:
    largest = float(queue.waits(queue.arrivals).max())
    found = []
    for cap_s in CAPS_S:
        for patience in PATIENCES:
            tried = with_rule(rules, patience=patience, max_wait_s=cap_s)
            measures = measure(queue, ranks(tried, queue, forecast))
            stretched = measures.largest_wait / largest if largest else math.nan
            found.append(Point(patience, cap_s, measures, stretched))
    return found


def print_table(by_trace: Mapping[str, Sequence[Point]]) -> None:
    for cap_s in CAPS_S:
        rows = [
            _row([_only(points, patience, cap_s) for points in by_trace.values()], patience)
            for patience in PATIENCES
        ]
        cap = f"max_wait {cap_s / DAY_S:g} d" if math.isfinite(cap_s) else "cap off"
        columns = [
            *("patience", "gain, average", "gain, least", "completes faster %, least"),
            *("largest wait / FIFO's, median", "largest wait / FIFO's, most", *by_trace),
        ]
        report.table(f"Frontier, {cap}; gain in slowdown, one trace a column", columns, rows)


def _row(found: Sequence[Point], patience: float) -> list[str]:
    gains = [point.measures.gain_slowdown for point in found]
    stretched = sorted(point.stretched for point in found)
    faster = min(point.measures.faster for point in found) * 100
    return [
        f"{patience:,.0f}",
        *(f"{mean(gains):.3f}", f"{min(gains):.3f}", f"{faster:.1f}"),
        *(f"{stretched[len(stretched) // 2]:.1f}", f"{stretched[-1]:.1f}"),
        *(f"{gain:.3f}" for gain in gains),
    ]


def _only(points: Sequence[Point], patience: float, cap_s: float) -> Point:
    return next(point for point in points if (point.patience, point.cap_s) == (patience, cap_s))
