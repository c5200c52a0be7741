"""What people feel of an order: waits, slowdowns, completion, and how much of the oracle's gain it has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.predict.ordering import Arrivals, share_of_gain
from bench.predict.traces import Floats


@dataclass(frozen=True)
class Measures:
    """Of one order on one trace, in seconds; `slowdown`: mean bounded slowdown (10 s); `completion`: mean of wait and
    runtime together; gains are shares of the way from FIFO to the oracle; `faster`: by how much the mean completion is
    shorter than FIFO's, as a share of it."""

    wait: float
    p95_wait: float
    slowdown: float
    largest_wait: float
    completion: float
    gain_wait: float
    gain_slowdown: float
    faster: float


def measure(queue: Arrivals, keys: Floats) -> Measures:
    return measured(queue, queue.waits(keys))


def gain_slowdown(queue: Arrivals, keys: Floats) -> float:
    """The share of the oracle's gain alone."""
    return share_of_gain(queue.fifo.slowdown, queue.slowdown(queue.waits(keys)), queue.oracle.slowdown)


def measured(queue: Arrivals, waits: Floats) -> Measures:
    wait, slowdown, runtime = float(waits.mean()), queue.slowdown(waits), float(queue.runtimes.mean())
    return Measures(
        wait=wait,
        p95_wait=float(np.quantile(waits, 0.95)),
        slowdown=slowdown,
        largest_wait=float(waits.max()),
        completion=wait + runtime,
        gain_wait=share_of_gain(queue.fifo.wait, wait, queue.oracle.wait),
        gain_slowdown=share_of_gain(queue.fifo.slowdown, slowdown, queue.oracle.slowdown),
        faster=1 - (wait + runtime) / (queue.fifo.wait + runtime),
    )
