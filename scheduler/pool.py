"""What a worker runs: attempts in processes of their own, up to its slots, and light functions in the kept one."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from django.conf import settings

from jobs import functions
from jobs.claims import Claimed, Finish, Held
from jobs.executors.base import JobSpec, idempotency_id
from jobs.executors.kept_jobs import LONGEST_WAIT_S, Ended, KeptJobs
from jobs.executors.kept_wire import Call
from jobs.executors.output import OutputLines
from jobs.executors.process import CannotStart, JobProcesses
from scheduler import endings, metrics
from scheduler.appetite import Appetite
from scheduler.endings import StopReason

logger = logging.getLogger(__name__)

OnLine = Callable[[Claimed, int, str, str], None]
OnEnd = Callable[[Sequence[Finish]], None]
OnRan = Callable[[Sequence[tuple[Claimed, Finish]]], None]


@dataclass
class Attempt:
    """A claimed job in its slot. `reason` says why it was told to stop, if it was."""

    job: Claimed
    began: float
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
    """Runs what `start` gets; tells lines through `on_line` and endings, in batches, through `on_end`."""

    def __init__(
        self,
        size: int,
        processes: JobProcesses,
        *,
        on_line: OnLine,
        on_end: OnEnd,
        on_ran: OnRan = lambda ran: None,
        is_behind: Callable[[], bool] = lambda: False,
    ) -> None:
        """While it `is_behind` with what the jobs produced there is no room for more."""
        self.size = size
        self.freed = asyncio.Event()
        self.broken = asyncio.Event()  # no job process can be started any more: the worker must end
        self._processes = processes
        self._on_line = on_line
        self._on_end = on_end
        self._on_ran = on_ran
        self._is_behind = is_behind
        self._appetite = Appetite()
        # Keyed by attempt too: a job that was lost may come back here while its old process still ends.
        self._attempts: dict[Held, Attempt] = {}
        self._waiting: deque[Claimed] = deque()  # for a slot, since the claim took more than there are
        self._light: KeptJobs[Claimed] = KeptJobs(
            processes,
            size,
            call_of=_call,
            on_ended=self._light_ended,
            on_text=self._light_wrote,
            on_broken=self._break,
        )
        self._light_reasons: dict[Held, StopReason] = {}
        self._light_output: dict[Held, OutputLines] = {}
        self._clock = asyncio.get_running_loop().time
        metrics.SLOTS.set(size)

    def open(self) -> None:
        """Have the process for light functions at hand before the first one comes."""
        self._light.open()

    def close(self) -> None:
        self._light.close()

    @property
    def in_use(self) -> int:
        """Jobs that are here: they run, or wait to run."""
        return len(self._attempts) + len(self._waiting) + self._light.count

    @property
    def room(self) -> int:
        """How many jobs to claim now; 0 until it is worth a claim."""
        if self._is_behind():
            return 0
        buffer = self._appetite.buffer(self._clock())
        room = self.size + buffer - self.in_use
        return room if room > buffer // 2 else 0

    @property
    def held(self) -> list[Held]:
        """Everything that is here under a lease."""
        running = [key for key, attempt in self._attempts.items() if attempt.reason != "lost"]
        waiting = [(job.id, job.attempt) for job in self._waiting]
        light = [(job.id, job.attempt) for job in self._light.jobs()]
        if self._light_reasons:
            light = [key for key in light if self._light_reasons.get(key) != "lost"]
        return running + waiting + light

    def running_s(self) -> list[tuple[Held, float]]:
        """How long the attempts in processes of their own have been running."""
        now = self._clock()
        return [(key, now - attempt.began) for key, attempt in self._attempts.items()]

    def start(self, jobs: Sequence[Claimed]) -> None:
        self._appetite.wake(self._clock())
        light = [job for job in jobs if _is_light(job)]
        if light:
            self._light.start(light)
        if len(light) < len(jobs):
            self._waiting.extend(job for job in jobs if not _is_light(job))
            self._fill_slots()
            if self._waiting:
                asyncio.get_running_loop().call_later(LONGEST_WAIT_S, self._give_back_waiting)
        metrics.SLOTS_BUSY.set(min(self.size, self.in_use))

    def cancel(self, job_id: int) -> None:
        """Somebody asked for the job to be stopped; nothing when it is not here (any more)."""
        self._stop(lambda job: job.id == job_id, "cancelled")

    def give_up(self, job_id: int, attempt: int) -> None:
        """The lease is lost: stop the job and say nothing about its ending."""
        logger.warning("action=lease_lost job=%s attempt=%s: stopping it", job_id, attempt)
        self._stop(lambda job: job.id == job_id and job.attempt == attempt, "lost")

    def give_back(self, wanted: Callable[[Claimed], bool] | None = None) -> None:
        """Release what has not begun; all of it, or what is wanted."""
        self._give_back_waiting(wanted)
        self._light.take_back(wanted)

    def hand_back_all(self) -> None:
        """Stop everything, and release it."""
        self._stop(lambda job: True, "shutdown")

    async def drain(self, grace_s: float) -> None:
        """Let jobs that have begun go on for `grace_s`, then hand the rest back; returns when nothing is left."""
        self.give_back()
        try:
            await asyncio.wait_for(self._until_empty(), grace_s)
        except TimeoutError:
            self.hand_back_all()
            await self._until_empty()

    async def _until_empty(self) -> None:
        while self.in_use:
            self.freed.clear()
            await self.freed.wait()

    def _stop(self, wanted: Callable[[Claimed], bool], reason: StopReason) -> None:
        for attempt in self._attempts.values():
            if wanted(attempt.job):
                attempt.ask_to_stop(reason)
        kept_back = [job for job in self._waiting if wanted(job)]
        if kept_back:
            self._waiting = deque(job for job in self._waiting if not wanted(job))
            ending: Literal["cancelled", "released"] = "cancelled" if reason == "cancelled" else "released"
            self._end([] if reason == "lost" else [Finish(job.id, job.attempt, ending) for job in kept_back])
        for job in filter(wanted, self._light.jobs()):
            if reason == "lost":
                self._light_reasons[job.id, job.attempt] = reason
            else:
                self._light_reasons.setdefault((job.id, job.attempt), reason)
        self._light.stop(wanted)

    def _fill_slots(self) -> None:
        while self._waiting and len(self._attempts) < self.size:
            job = self._waiting.popleft()
            attempt = self._attempts[job.id, job.attempt] = Attempt(job, self._clock())
            attempt.task = asyncio.create_task(self._run(attempt), name=f"job-{job.id}")

    def _give_back_waiting(self, wanted: Callable[[Claimed], bool] | None = None) -> None:
        """They have waited long enough: another worker may have a slot. Or they are `wanted` back."""
        back = [job for job in self._waiting if wanted is None or wanted(job)]
        if back:
            self._appetite.spoiled()
            self._waiting = deque(job for job in self._waiting if wanted is not None and not wanted(job))
            self._end([Finish(job.id, job.attempt, "released") for job in back])

    async def _run(self, attempt: Attempt) -> None:
        job = attempt.job

        def on_line(stream: str, text: str) -> None:
            attempt.lines += 1
            self._on_line(job, attempt.lines, stream, text)

        try:
            outcome = await self._processes.run(_spec(job), on_line=on_line, stop=attempt.stop)
            finish = endings.of_outcome(job, outcome, attempt.reason)
        except CannotStart as error:
            # Not the job's fault, and the next one would fare no better: it goes back and the worker ends.
            finish = Finish(job.id, job.attempt, "released")
            self._break(str(error))
        except Exception as error:
            logger.exception("action=run_failed job=%s attempt=%s", job.id, job.attempt)
            finish = Finish(
                job.id, job.attempt, "crashed", error=f"The job could not be run: {error}", retry_delay_s=0
            )
        del self._attempts[job.id, job.attempt]
        self._fill_slots()
        self._count([(job, finish)])
        self._end([] if attempt.reason == "lost" else [finish])

    def _light_wrote(self, job: Claimed, stream: str, text: str) -> None:
        output = self._light_output.get((job.id, job.attempt))
        if output is None:
            seq = 0

            def on_line(stream: str, line: str) -> None:
                nonlocal seq
                seq += 1
                self._on_line(job, seq, stream, line)

            output = self._light_output[job.id, job.attempt] = OutputLines(on_line)
        output.feed(stream, text.encode("utf-8", errors="backslashreplace"))

    def _light_ended(self, ended: Sequence[Ended[Claimed]]) -> None:
        ran: list[tuple[Claimed, Finish]] = []
        released: list[Finish] = []
        for job, fields, took_ms in ended:
            reason = self._forget_light(job) if self._light_output or self._light_reasons else None
            if reason == "lost":
                continue
            finish = endings.of_fields(job, fields, took_ms, reason)
            if finish.ending == "released":
                released.append(finish)
            else:
                ran.append((job, finish))
        self._appetite.ended([took_ms / 1000 for _, _, took_ms in ended], self._clock())
        if released:
            self._appetite.spoiled()
        self._count(ran)
        self._end([finish for _, finish in ran] + released)

    def _forget_light(self, job: Claimed) -> StopReason | None:
        """Pass on the rest of its output; why it was told to stop, if it was."""
        key = (job.id, job.attempt)
        if key in self._light_output:
            self._light_output.pop(key).finish()
        return self._light_reasons.pop(key, None)

    def _end(self, ended: Sequence[Finish]) -> None:
        self.freed.set()
        metrics.SLOTS_BUSY.set(min(self.size, self.in_use))
        if ended:
            self._on_end(ended)

    def _count(self, ran: Sequence[tuple[Claimed, Finish]]) -> None:
        by_kind: defaultdict[tuple[str, str], list[tuple[Claimed, Finish]]] = defaultdict(list)
        for one in ran:
            by_kind[one[0].type, one[1].ending].append(one)
        for (type, ending), group in by_kind.items():
            metrics.ATTEMPTS.labels(type, ending).inc(len(group))
            metrics.WAIT.observe(type, [job.wait_ms / 1000 for job, _ in group])
            metrics.RUN.observe(type, [finish.runtime_ms / 1000 for _, finish in group])
        self._on_ran(ran)

    def _break(self, error: str) -> None:
        logger.error("action=cannot_start error=%s", error)
        self.broken.set()


def _is_light(job: Claimed) -> bool:
    """A limit on memory, CPU time or with a warning can only be kept for a process of its own."""
    name = job.payload.get("function") if job.type == "python" else None
    return (
        isinstance(name, str)
        and functions.is_light(name)
        and job.memory_mb is None
        and job.cpu_s is None
        and job.soft_timeout_s is None
    )


def _call(number: int, job: Claimed) -> Call:
    payload = job.payload
    return (
        number,
        job.id,
        job.attempt,
        idempotency_id(job.org_id, job.id),
        payload["function"],
        payload.get("args", []),
        payload.get("kwargs", {}),
        job.timeout_s,
    )


def _spec(job: Claimed) -> JobSpec:
    return JobSpec(
        id=job.id,
        org_id=job.org_id,
        attempt=job.attempt,
        type=job.type,
        name=job.name,
        payload=job.payload,
        timeout_s=job.timeout_s,
        idempotency_id=idempotency_id(job.org_id, job.id),
        soft_timeout_s=job.soft_timeout_s,
        memory_mb=job.memory_mb or settings.JOB_MEMORY_MB or None,
        cpu_s=job.cpu_s or settings.JOB_CPU_S or None,
    )
