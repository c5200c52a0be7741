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


class Arrivals:
    """Jobs that arrive at K servers; times in seconds (N,), `arrivals` in order. `short_s`: see SHORT_S; `early`: see
    `waits_of`."""

    def __init__(
        self,
        arrivals: Floats,
        runtimes: Floats,
        servers: int,
        *,
        short_s: float = SHORT_S,
        early: bool = False,
    ) -> None:
        self.arrivals, self.runtimes, self.servers = arrivals, runtimes, servers
        self._short_s, self._early = short_s, early
        self.fifo = self._run(np.arange(len(arrivals), dtype=float))
        self.oracle = self._run(runtimes)

    def waits(self, keys: Floats) -> Floats:
        """Seconds that each job waits (N,) when the smallest key goes first."""
        return waits_of(self.arrivals, self.runtimes, keys, self.servers, early=self._early)

    def slowdown(self, waits: Floats) -> float:
        """Mean bounded slowdown."""
        slowdowns = (waits + self.runtimes) / np.maximum(self.runtimes, self._short_s)
        return float(np.maximum(slowdowns, 1).mean())

    def _run(self, keys: Floats) -> Waits:
        waits = self.waits(keys)
        return Waits(float(waits.mean()), self.slowdown(waits))


class Queue(Arrivals):
    """The scored rows of one trace, from row `first` on. `early` as the traces' yardstick has it: see `waits_of`."""

    def __init__(self, trace: Trace, *, early: bool = True) -> None:
        self.first = trace.first_scored
        submit, runtimes = trace.submit[self.first :], trace.runtime[self.first :]
        length = max(float(submit[-1] - submit[0]), 1.0)
        work = float(runtimes.sum())
        servers = int(np.clip(round(work / length / LOAD), FEWEST, MOST))
        stretch = work / (servers * LOAD * length)
        super().__init__((submit - submit[0]) * stretch, runtimes, servers, early=early)

    def gain(self, expected: Floats) -> Gain:
        """`expected` (N,): a runtime for each row of the trace."""
        found = self._run(expected[self.first :])
        return Gain(
            share_of_gain(self.fifo.wait, found.wait, self.oracle.wait),
            share_of_gain(self.fifo.slowdown, found.slowdown, self.oracle.slowdown),
        )


def share_of_gain(fifo: float, found: float, oracle: float) -> float:
    """How far `found` is on the way from `fifo` to `oracle`; NaN where they are the same."""
    return (fifo - found) / (fifo - oracle) if fifo != oracle else float("nan")


def waits_of(
    arrivals: Floats, runtimes: Floats, keys: Floats, servers: int, *, early: bool = False
) -> Floats:
    """Seconds that each job waits (N,) when the smallest key that has arrived goes first, ties in order of arrival.

    `early`: of jobs that arrive at one moment at several idle servers all but the first start when their server became
    idle, before they came. The traces' yardstick does so (2 % of the jobs of hpc2n, fewer elsewhere), and who wants to
    be compared with its table has to.
    """
    waits = np.zeros(len(arrivals))
    free = [0.0] * servers  # when each server is free again, as a heap
    waiting: list[tuple[float, int]] = []
    arrived, now = 0, 0.0
    for _ in range(len(arrivals)):
        begin = free[0] if early else max(free[0], now)
        now = begin if waiting else max(begin, arrivals[arrived])
        while arrived < len(arrivals) and arrivals[arrived] <= now:
            heapq.heappush(waiting, (keys[arrived], arrived))
            arrived += 1
        _, job = heapq.heappop(waiting)
        waits[job] = now - arrivals[job]
        heapq.heapreplace(free, now + runtimes[job])
    return waits
