"""The orders that are compared: a key for each scored job of a trace, the smallest goes first.

SmartQueue's keys are ranks of `jobs.ordering`, the code that ranks submitted jobs, in virtual time.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bench.predict.ordering import Queue
from bench.predict.replay import Forecast
from bench.predict.traces import Floats, Trace
from jobs.ordering import NORMAL, LaneRule, Ordering

FIFO, STATIC, SMARTQUEUE, CAPPED, ORACLE = "FIFO", "static", "SmartQueue", "SmartQueue, cap on", "oracle"
FAIR = "SmartQueue, cap on, fair to tenants"

CLASSES = 3
MIDDLE = 1


def fixed_keys(trace: Trace, queue: Queue) -> dict[str, Floats]:
    """The orders that predict nothing."""
    arrived = np.arange(len(queue.arrivals), dtype=float)
    return {
        FIFO: arrived,
        STATIC: static_classes(trace)[queue.first :] * len(arrived) + arrived,
        ORACLE: queue.runtimes,
    }


def ranks(rules: Ordering, queue: Queue, forecast: Forecast) -> Floats:
    """The rank of each scored job as it is submitted to lane normal."""
    low, high = (_in_ms(side, queue.first) for side in (forecast.low, forecast.high))
    predicted = _in_ms(forecast.seconds, queue.first)
    return np.array(
        [
            rules.rank(
                due_at_s=arrival,
                lane=NORMAL,
                predicted_ms=middle,
                low_ms=low[place] if low else None,
                high_ms=high[place] if high else None,
            )
            for place, (arrival, middle) in enumerate(
                zip(queue.arrivals.tolist(), predicted or (), strict=True)
            )
        ]
    )


def _in_ms(seconds: Floats | None, first: int) -> list[float] | None:
    return None if seconds is None else (seconds[first:] * 1000).tolist()


def without_cap(rules: Ordering) -> Ordering:
    return Ordering({lane: replace(rule, max_wait_s=math.inf) for lane, rule in rules.lanes.items()})


def with_rule(rules: Ordering, **changed: float) -> Ordering:
    """Lane normal with another patience_s or max_wait_s."""
    lanes: Mapping[str, LaneRule] = rules.lanes
    return Ordering({**lanes, NORMAL: replace(lanes[NORMAL], **changed)})


def static_classes(trace: Trace) -> Floats:
    """A class for each row (N,), 0 goes first: priorities as a careful operator sets them once.

    The size of a job is the time that was requested for it; where none was, the median runtime of its name in the
    unscored first part of the trace. Thirds of the jobs of that part are the three classes; what has no size is in the
    middle.
    """
    sizes = _sizes(trace)
    known = sizes[: trace.first_scored]
    known = known[~np.isnan(known)]
    if not len(known):
        return np.full(len(trace), float(MIDDLE))
    borders = np.quantile(known, [step / CLASSES for step in range(1, CLASSES)])
    return np.where(np.isnan(sizes), MIDDLE, np.searchsorted(borders, sizes)).astype(float)


def _sizes(trace: Trace) -> Floats:
    runs: defaultdict[str, list[float]] = defaultdict(list)
    begin = trace.submit[trace.first_scored]
    for row in range(trace.first_scored):
        if trace.ended[row] <= begin:
            runs[trace.jobs[row]].append(float(trace.runtime[row]))
    medians = {name: statistics.median(values) for name, values in runs.items()}
    by_name = np.array([medians.get(name, math.nan) for name in trace.jobs])
    return np.where(trace.requested > 0, trace.requested, by_name)
