"""Steady load for the pressure part: jobs are queued in bulk as fast as one worker works them off."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from bench import product
from bench.cluster import Server
from bench.usage import Sampler

BACKLOG = 20_000
SHORT = 1000  # fewer waiting jobs than this: the feeder, not the worker, may set the pace
SETTLED_S = 2.0
PROBE_EVERY_S = 0.1
PROBE_JOBS = 5


@dataclass(frozen=True)
class Observed:
    """One phase: jobs started by time, and claims as (seconds since the phase began, milliseconds)."""

    seconds: float
    counts: list[int]  # jobs started at the begin and at the end of each quarter
    claims: list[tuple[float, float]]
    short: float  # share of the moments at which fewer than SHORT jobs waited
    worker_cpu_s: float = 0.0  # per 1,000 jobs
    postgres_cpu_s: float = 0.0  # per 1,000 jobs, with what feeding and the pressing sessions cost
    others_cores: float = 0.0

    @property
    def rate(self) -> float:
        return (self.counts[-1] - self.counts[0]) / self.seconds

    @property
    def quarters(self) -> list[float]:
        return [
            (later - earlier) / (self.seconds / 4)
            for earlier, later in zip(self.counts, self.counts[1:], strict=False)
        ]

    @property
    def claims_ms(self) -> list[float]:
        return [took for _, took in self.claims] or [float("nan")]

    def windows(self, length_s: float) -> Iterator[tuple[float, list[float]]]:
        """(end, claims in ms) of windows that follow each other; empty ones are left out."""
        end = length_s
        while end <= self.seconds:
            window = [took for at, took in self.claims if end - length_s <= at < end]
            if window:
                yield end, window
            end += length_s


class Load:
    """Context manager: a worker, a feeder that keeps a backlog, and a prober that times claims."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __enter__(self) -> Self:
        from bench import rows

        product.clear()
        org, user = product.people("pressure")
        self._template = rows.waiting(org, user)
        self._fed, self._probed = 0, 0
        self._claims: list[tuple[float, float]] = []
        self._backlogs: list[tuple[float, int]] = []
        self._over = threading.Event()
        self._failed: list[BaseException] = []
        self._stack = ExitStack()
        self._processes = self._stack.enter_context(product.processes())
        self._processes.workers(1)
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._feed, self._probe)
        ]
        for thread in self._threads:
            thread.start()
        product.wait_until(lambda: self._processes.count() > 0, "the worker starts jobs")
        time.sleep(SETTLED_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._stack.close()
        if self._failed and error is None:
            raise self._failed[0]

    def observe(self, seconds: float) -> Observed:
        """Watch the load for so long."""
        groups = {"worker": self._processes.pids, "postgres": [self._server.pid]}
        with Sampler(every_s=seconds, **groups) as sampler:
            began = time.monotonic()
            counts = [self._count()]
            for quarter in range(1, 5):
                time.sleep(max(began + seconds * quarter / 4 - time.monotonic(), 0))
                counts.append(self._count())
            took = time.monotonic() - began
        claims = [(at - began, ms) for at, ms in self._claims if at >= began]
        backlogs = [waiting for at, waiting in self._backlogs if at >= began]
        short = sum(waiting < SHORT for waiting in backlogs) / max(len(backlogs), 1)
        thousands = max(counts[-1] - counts[0], 1) / 1000
        return Observed(
            seconds=took,
            counts=counts,
            claims=claims,
            short=short,
            worker_cpu_s=sampler.usage["worker"].spent_s / thousands,
            postgres_cpu_s=sampler.usage["postgres"].spent_s / thousands,
            others_cores=sampler.others_cores,
        )

    def _count(self) -> int:
        return self._processes.count() + self._probed

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._failed.append(error)

    def _feed(self) -> None:
        from django.db import connection

        from bench import rows

        while not self._over.is_set():
            if self._fed - self._count() > BACKLOG:
                self._over.wait(0.02)
                continue
            rows.copy(self._template, rows.BATCH, rows.QUEUED)
            self._fed += rows.BATCH
        connection.close()

    def _probe(self) -> None:
        asyncio.run(self._probe_forever())

    async def _probe_forever(self) -> None:
        from jobs import claims, leases
        from scheduler.database_thread import DatabaseThread

        worker, heads, database = str(uuid.uuid4()), claims.Heads(), DatabaseThread("prober")
        claim = partial(
            claims.claim, worker_id=worker, types=["python"], limit=PROBE_JOBS, lease_s=60, heads=heads
        )
        while not self._over.is_set():
            before = time.monotonic()
            claimed = await database.call(claim)
            self._claims.append((before, (time.monotonic() - before) * 1000))
            self._backlogs.append((before, self._fed - self._count()))
            ended = [claims.Finish(job.id, job.attempt, "done") for job in claimed]
            self._probed += len(await database.call(leases.finish, worker_id=worker, ended=ended))
            await asyncio.sleep(PROBE_EVERY_S)
        await database.close()
