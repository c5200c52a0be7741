"""Tenants as organisations: ranks decide within one, `jobs.fairness.Shares` between them, all of one weight.

A claim charges the prediction, an ending settles it with the true runtime, as workers do it.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np

from bench.predict.ordering import Arrivals
from bench.predict.traces import Floats
from jobs.fairness import Shares, charge_s


class FairQueue:
    """Jobs of several organisations at the servers of `queue`. `ranks`, `predicted_s`: (N,), seconds."""

    def __init__(
        self, queue: Arrivals, orgs: Sequence[int], ranks: Floats, predicted_s: Floats, half_life_s: float
    ) -> None:
        self._queue, self._orgs, self._ranks = queue, orgs, ranks
        self._charges = [charge_s(seconds * 1000) for seconds in predicted_s.tolist()]
        self._shares = Shares(half_life_s)
        self._waiting: dict[int, list[tuple[float, int]]] = {}
        self._running: list[tuple[float, int]] = []
        self._arrived = 0

    def waits(self) -> Floats:
        """Seconds that each job waits (N,)."""
        count, servers = len(self._orgs), self._queue.servers
        waits, now = np.zeros(count), 0.0
        for _ in range(count):
            if len(self._running) == servers:  # else one is idle
                now = max(now, self._running[0][0])
            if not self._waiting:
                now = max(now, float(self._queue.arrivals[self._arrived]))
            self._go_on_to(now)
            job = self._next()
            waits[job] = now - self._queue.arrivals[job]
            heapq.heappush(self._running, (now + float(self._queue.runtimes[job]), job))
        return waits

    def _go_on_to(self, now: float) -> None:
        """Who ended and who arrived by now."""
        self._shares.decay(now)
        while self._running and self._running[0][0] <= now:
            _, job = heapq.heappop(self._running)
            self._shares.charge(self._orgs[job], float(self._queue.runtimes[job]) - self._charges[job])
        while self._arrived < len(self._orgs) and self._queue.arrivals[self._arrived] <= now:
            job = self._arrived
            line = self._waiting.setdefault(self._orgs[job], [])
            if not line:
                self._shares.begin(self._orgs[job])
            heapq.heappush(line, (float(self._ranks[job]), job))
            self._arrived += 1

    def _next(self) -> int:
        """The job that starts: the best of the organisation whose turn it is."""
        (org,) = self._shares.turns(self._waiting, 1, tie=lambda org: self._waiting[org][0][0])
        _, job = heapq.heappop(self._waiting[org])
        self._shares.take(org, self._charges[job])
        if not self._waiting[org]:
            del self._waiting[org]
            self._shares.end(org)
        return job
