"""The slots of a worker: each holds one attempt, which runs in a process of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from django.conf import settings

from jobs import retries
from jobs.claims import Claimed, Ending, Finish, Held
from jobs.executors.base import JobSpec, Outcome
from jobs.executors.process import CannotStart, JobProcesses
from scheduler import metrics

logger = logging.getLogger(__name__)

StopReason = Literal["cancelled", "shutdown", "lost"]
OnLine = Callable[[Claimed, int, str, str], None]
OnEnd = Callable[[Finish], None]


@dataclass
class Attempt:
    """A claimed job in its slot. `reason` says why it was told to stop, if it was."""

    job: Claimed
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reason: StopReason | None = None
    task: asyncio.Task[None] | None = None
    lines: int = 0

    def ask_to_stop(self, reason: StopReason) -> None:
        # A lost lease overrides: whatever the ending was to be, it is nobody's business any more.
        if self.reason is None or reason == "lost":
            self.reason = reason
            self.stop.set()


class Pool:
    """Runs up to `size` attempts; tells lines through `on_line` and endings through `on_end`."""

    def __init__(self, size: int, processes: JobProcesses, *, on_line: OnLine, on_end: OnEnd) -> None:
        self.size = size
        self.freed = asyncio.Event()
        self.broken = asyncio.Event()  # no job process can be started any more: the worker must end
        self._processes = processes
        self._on_line = on_line
        self._on_end = on_end
        # Keyed by attempt too: a job that was lost may come back here while its old process still ends.
        self._attempts: dict[Held, Attempt] = {}
        metrics.SLOTS.set(size)

    @property
    def free(self) -> int:
        return self.size - len(self._attempts)

    @property
    def held(self) -> list[Held]:
        """Everything that runs under a lease."""
        return [key for key, attempt in self._attempts.items() if attempt.reason != "lost"]

    def start(self, job: Claimed) -> None:
        attempt = self._attempts[job.id, job.attempt] = Attempt(job)
        attempt.task = asyncio.create_task(self._run(attempt), name=f"job-{job.id}")
        metrics.SLOTS_BUSY.set(len(self._attempts))

    def cancel(self, job_id: int) -> None:
        """Somebody asked for the job to be stopped; nothing when it is not here (any more)."""
        for attempt in self._attempts.values():
            if attempt.job.id == job_id:
                attempt.ask_to_stop("cancelled")

    def hand_back_all(self) -> None:
        for attempt in self._attempts.values():
            attempt.ask_to_stop("shutdown")

    def give_up(self, job_id: int, attempt_number: int) -> None:
        """The lease is lost: stop the job and say nothing about its ending."""
        attempt = self._attempts.get((job_id, attempt_number))
        if attempt is not None and attempt.reason != "lost":
            logger.warning("action=lease_lost job=%s attempt=%s: stopping it", job_id, attempt_number)
            attempt.ask_to_stop("lost")

    async def drain(self, grace_s: float) -> None:
        """Let jobs go on for `grace_s`, then hand the rest back; returns when every slot is free."""
        tasks = [attempt.task for attempt in self._attempts.values() if attempt.task is not None]
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=grace_s)
        self.hand_back_all()
        await asyncio.wait(tasks)

    async def _run(self, attempt: Attempt) -> None:
        job = attempt.job

        def on_line(stream: str, text: str) -> None:
            attempt.lines += 1
            self._on_line(job, attempt.lines, stream, text)

        try:
            finish = _finish(
                attempt, await self._processes.run(_spec(job), on_line=on_line, stop=attempt.stop)
            )
        except CannotStart as error:
            # Not the job's fault, and the next one would fare no better: it goes back and the worker ends.
            logger.error("action=cannot_start job=%s attempt=%s error=%s", job.id, job.attempt, error)
            finish = Finish(job.id, job.attempt, "released")
            self.broken.set()
        except Exception as error:
            logger.exception("action=run_failed job=%s attempt=%s", job.id, job.attempt)
            finish = Finish(
                job.id, job.attempt, "crashed", error=f"The job could not be run: {error}", retry_delay_s=0
            )
        del self._attempts[job.id, job.attempt]
        self.freed.set()
        self._count(job, finish)
        if attempt.reason != "lost":
            self._on_end(finish)

    def _count(self, job: Claimed, finish: Finish) -> None:
        metrics.SLOTS_BUSY.set(len(self._attempts))
        metrics.ATTEMPTS.labels(job.type, finish.ending).inc()
        metrics.WAIT.labels(job.type).observe(job.wait_ms / 1000)
        metrics.RUN.labels(job.type).observe(finish.runtime_ms / 1000)


def _spec(job: Claimed) -> JobSpec:
    return JobSpec(
        id=job.id,
        org_id=job.org_id,
        attempt=job.attempt,
        type=job.type,
        name=job.name,
        payload=job.payload,
        timeout_s=job.timeout_s,
        idempotency_id=f"smartqueue-{job.org_id}-{job.id}",
    )


def _finish(attempt: Attempt, outcome: Outcome) -> Finish:
    job = attempt.job
    ending: Ending = outcome.status
    if outcome.status == "cancelled" and attempt.reason == "shutdown":
        ending = "released"
    return Finish(
        job_id=job.id,
        attempt=job.attempt,
        ending=ending,
        runtime_ms=outcome.runtime_ms,
        result=outcome.result,
        error=outcome.error,
        retry_delay_s=_retry_delay_s(job, outcome),
    )


def _retry_delay_s(job: Claimed, outcome: Outcome) -> float | None:
    if not outcome.retryable:
        return None
    if outcome.retry_after_s is not None:
        return min(outcome.retry_after_s, settings.RETRY_CAP_S)
    return retries.delay_s(job.retry_count, base_s=settings.RETRY_BASE_S, cap_s=settings.RETRY_CAP_S)
