"""What an order is worth: the scored jobs of a trace on servers that take the job expected to be shortest first.

A server runs one job at a time, to its end. Arrivals are stretched or pressed until the servers are busy for LOAD of
the time; so they decide how long queues get, and not what the trace's own machine did.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from bench.predict.traces import Floats, Trace

LOAD = 0.9
FEWEST, MOST = 4, 64
SHORT_S = 10.0  # a slowdown counts shorter jobs as this long


@dataclass(frozen=True)
class Waits:
    """Means over all jobs: seconds waited, and (wait + runtime) / runtime, at least 1."""

    wait: float
    slowdown: float


@dataclass(frozen=True)
class Gain:
    """Shares of the way from first come, first served (0) to the order of the true runtimes (1)."""

    wait: float
    slowdown: float


class Queue:
    """The scored rows of one trace as arrivals at K servers."""

    def __init__(self, trace: Trace) -> None:
        submit = trace.submit[trace.first_scored :]
        self._first = trace.first_scored
        self._runtime = trace.runtime[trace.first_scored :]
        length = max(float(submit[-1] - submit[0]), 1.0)
        work = float(self._runtime.sum())
        self.servers = int(np.clip(round(work / length / LOAD), FEWEST, MOST))
        self.stretch = work / (self.servers * LOAD * length)
        self._arrivals = (submit - submit[0]) * self.stretch
        self.fifo = self._run(np.arange(len(submit), dtype=float))
        self.oracle = self._run(self._runtime)

    def gain(self, expected: Floats) -> Gain:
        """`expected` (N,): a runtime for each row of the trace."""
        found = self._run(expected[self._first :])
        return Gain(
            _share(self.fifo.wait, found.wait, self.oracle.wait),
            _share(self.fifo.slowdown, found.slowdown, self.oracle.slowdown),
        )

    def _run(self, keys: Floats) -> Waits:
        waits = waits_of(self._arrivals, self._runtime, keys, self.servers)
        slowdowns = (waits + self._runtime) / np.maximum(self._runtime, SHORT_S)
        return Waits(float(waits.mean()), float(np.maximum(slowdowns, 1).mean()))


def _share(fifo: float, found: float, oracle: float) -> float:
    return (fifo - found) / (fifo - oracle) if fifo != oracle else float("nan")


def waits_of(arrivals: Floats, runtimes: Floats, keys: Floats, servers: int) -> Floats:
    """Seconds that each job waits (N,) when the smallest key that has arrived goes first, ties in order of arrival."""
    waits = np.zeros(len(arrivals))
    free = [0.0] * servers  # when each server is free again, as a heap
    waiting: list[tuple[float, int]] = []
    arrived = 0
    for _ in range(len(arrivals)):
        now = free[0] if waiting else max(free[0], arrivals[arrived])
        while arrived < len(arrivals) and arrivals[arrived] <= now:
            heapq.heappush(waiting, (keys[arrived], arrived))
            arrived += 1
        _, job = heapq.heappop(waiting)
        waits[job] = now - arrivals[job]
        heapq.heapreplace(free, now + runtimes[job])
    return waits
