"""The worker's end of one running attempt: its control socket and its output.

Used by `process.JobProcesses` only. What the other end says is described in `guard`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Self, TypeVar

from jobs.executors import guard, outcomes
from jobs.executors.base import JobSpec, Outcome
from jobs.executors.outcomes import Fields
from jobs.executors.output import OnLine, OutputLines, PipeReader

KILL_GRACE_S = 1.2  # the promise is that a cancelled job is gone within 2 s
START_LIMIT_S = 60.0  # the first job of a heavy type waits for imports, on a busy machine for long

_GONE_S = 5.0
_DRAIN_S = 1.0
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024

T = TypeVar("T")


class Attempt:
    """Made by `open`; ends with `close`, which leaves nothing of the job behind."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lines: OutputLines
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._lines = lines
        self._pipes: list[PipeReader] = []
        self._job: int | None = None

    @classmethod
    async def open(cls, on_line: OnLine) -> tuple[Self, list[int]]:
        """An attempt, and the descriptors for its guard: control, stdout, stderr. The caller closes them."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_MAX_MESSAGE_BYTES)
        attempt = cls(reader, writer, OutputLines(on_line))
        descriptors = [theirs.detach()]
        try:
            for stream in ("stdout", "stderr"):
                descriptors.append(attempt._open_pipe(stream))
        except OSError:
            for descriptor in descriptors:
                os.close(descriptor)
            await attempt.close()
            raise
        return attempt, descriptors

    @property
    def started(self) -> bool:
        """Whether there is, or was, a process of the job."""
        return self._job is not None

    def send(self, request: bytes) -> None:
        """Tell the guard what to run."""
        self._writer.write(request)

    async def job_starts(self) -> bool:
        """Wait for the job's process; False when the other end is gone before there was one."""
        async for _ in self._messages():
            if self._job is not None:
                return True
        return False

    async def follow(self, spec: JobSpec) -> Fields:
        """Wait for the job's outcome, or for its end without one; as fields of an Outcome."""
        async for message in self._messages():
            match message:
                case {"outcome": report}:
                    return outcomes.reported(report)
                case {"over": "memory"}:
                    return outcomes.over_memory(spec.memory_mb)
                case {"over": "cpu"}:
                    return outcomes.over_cpu(spec.cpu_s)
                case {"exit": int(code)}:
                    killed_at_limit = spec.cpu_s is not None and code == -signal.SIGXCPU
                    return outcomes.over_cpu(spec.cpu_s) if killed_at_limit else outcomes.crashed(code)
        return outcomes.crashed(None)

    def terminate(self) -> None:
        """Ask every process of the job to end."""
        self._writer.write(guard.END_SOON)

    def tell(self, spec: JobSpec) -> None:
        """Let the job know that its soft limit is reached: `python` by an exception, others by SIGTERM."""
        self._lines.note(f"The soft limit of {spec.soft_timeout_s:g} seconds is reached: the job was told.")
        self._writer.write(guard.TELL if spec.type == "python" else guard.END_SOON)

    def kill(self) -> None:
        """Kill every process of the job: the guard does that when it hears nothing more."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def close(self) -> None:
        """Kill what is left, and pass on what was written until then."""
        self.kill()
        try:
            await self._until_gone()
            await self._drain()
        finally:
            self._writer.close()
            for pipe in self._pipes:
                pipe.close()
            self._lines.finish()

    async def _messages(self) -> AsyncIterator[Fields]:
        with contextlib.suppress(OSError, ValueError):
            while line := await self._reader.readline():
                message = _parsed(line)
                if self._job is None:  # the first is true: the process sends it before it runs the job
                    self._job = message.get("job")
                yield message

    async def _until_gone(self) -> None:
        """Wait for the guard to say that nothing is left; without a guard, kill the group from here."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GONE_S):
                async for message in self._messages():
                    if "gone" in message:
                        return
        if self._job is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._job, signal.SIGKILL)

    async def _drain(self) -> None:
        # All that wrote are gone. Only where an escaped process cannot be found does a pipe stay open.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0 if self._lines.full else _DRAIN_S):
                for pipe in self._pipes:
                    await pipe.ended.wait()

    def _open_pipe(self, stream: str) -> int:
        ours, theirs = os.pipe()
        self._pipes.append(PipeReader(ours, stream, self._lines))
        return theirs


async def until_the_start(attempt: Attempt, stop: asyncio.Event) -> None:
    """Wait for the job's process, or for `stop`. Raises OSError when there is none and will be none."""
    started = await _unless_stopped(attempt.job_starts(), stop, START_LIMIT_S)
    if started is None and not stop.is_set():
        raise TimeoutError(f"It could not be started within {START_LIMIT_S:g} seconds.")
    if started is False:
        raise OSError("It could not be started.")


async def until_the_end(attempt: Attempt, spec: JobSpec, stop: asyncio.Event) -> Outcome:
    """Wait for the end of the job, of its time, or for `stop`; whichever is first decides the outcome.

    To be called when the job has just started, or `stop` is set.
    """
    if not attempt.started:
        return Outcome(runtime_ms=0.0, **outcomes.cancelled())
    started = time.perf_counter()
    fields = await _within_limits(attempt, spec, stop)
    if fields is None:
        fields = outcomes.cancelled() if stop.is_set() else outcomes.timed_out(spec.timeout_s)
        attempt.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(attempt.follow(spec), KILL_GRACE_S)
    return Outcome(runtime_ms=(time.perf_counter() - started) * 1000, **fields)


async def _within_limits(attempt: Attempt, spec: JobSpec, stop: asyncio.Event) -> Fields | None:
    """How the job ended; None when its time is over, or `stop` set, before. Tells it at its soft limit."""
    soft_s = spec.timeout_s if spec.soft_timeout_s is None else min(spec.soft_timeout_s, spec.timeout_s)
    fields = await _unless_stopped(attempt.follow(spec), stop, soft_s)
    if fields is not None or stop.is_set() or soft_s == spec.timeout_s:
        return fields
    attempt.tell(spec)
    fields = await _unless_stopped(attempt.follow(spec), stop, spec.timeout_s - soft_s)
    return None if fields is None else _ended_as_told(fields, spec)


def _ended_as_told(fields: Fields, spec: JobSpec) -> Fields:
    """What SIGTERM made of a command or of an executor is a timeout; a function says itself how it ended."""
    if (
        spec.type == "python"
        or fields["status"] not in ("failed", "crashed")
        or not fields.get("retryable", True)
    ):
        return fields
    return outcomes.soft_timed_out(spec.soft_timeout_s, fields["error"])


async def _unless_stopped(work: Coroutine[Any, Any, T], stop: asyncio.Event, timeout_s: float) -> T | None:
    """What `work` returns; None when `stop` is set or the time is over before that."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        stopped.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)


def _parsed(line: bytes) -> Fields:
    """One message; an empty one for anything else, as the half of a line that a killed job left."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}
