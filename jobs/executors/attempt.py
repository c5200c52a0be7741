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
from collections.abc import AsyncIterator
from typing import Any, Self

from jobs.executors.base import signal_name
from jobs.executors.output import OnLine, OutputLines, PipeReader

KILL_GRACE_S = 2.0

_GONE_S = 5.0
_DRAIN_S = 1.0
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024

Fields = dict[str, Any]


class NotStarted(OSError):
    """The job's process could not be started."""


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

    def send(self, request: bytes) -> None:
        """Tell the guard what to run."""
        self._writer.write(request)

    async def follow(self) -> Fields:
        """Wait for the job's outcome, or for its end without one; as fields of an Outcome.

        Raises NotStarted when the other end is gone before there was a job.
        """
        async for message in self._messages():
            match message:
                case {"outcome": dict(fields)}:
                    return fields
                case {"exit": int(code)}:
                    return _crashed(code)
        if self._job is None:
            raise NotStarted(NotStarted.__doc__)
        return _crashed(None)

    def terminate(self) -> bool:
        """Ask every process of the job to end; False when there is none yet."""
        if self._job is None:
            return False
        self._writer.write(b"T")
        return True

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

    async def _messages(self) -> AsyncIterator[Any]:
        with contextlib.suppress(OSError, ValueError):
            while line := await self._reader.readline():
                message = _parsed(line)
                if "job" in message:
                    self._job = message["job"]
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


async def until_the_end(attempt: Attempt, timeout_s: float, stop: asyncio.Event) -> Fields:
    """Wait for the end of the job, of its time, or for `stop`; whichever is first decides the outcome."""
    end = asyncio.ensure_future(attempt.follow())
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({end, stopped}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if end.done():
            return end.result()
        fields = _cancelled() if stopped.done() else _timed_out(timeout_s)
        if attempt.terminate():
            await asyncio.wait({end}, timeout=KILL_GRACE_S)
        return fields
    finally:
        end.cancel()
        stopped.cancel()
        await asyncio.gather(end, stopped, return_exceptions=True)


def _parsed(line: bytes) -> Any:
    """One message; an empty one for the half of a line that a killed job left."""
    try:
        return json.loads(line)
    except ValueError:
        return {}


def _crashed(exit_code: int | None) -> Fields:
    if exit_code is None:
        error = "The processes of the job were killed from outside."
    elif exit_code >= 0:
        error = f"The job's process ended with exit code {exit_code} before it reported a result."
    else:
        hint = " That is often for lack of memory." if exit_code == -signal.SIGKILL else ""
        error = f"The job's process was killed by {signal_name(-exit_code)}.{hint}"
    return {"status": "crashed", "error": error}


def _cancelled() -> Fields:
    return {"status": "cancelled", "error": "The job was stopped."}


def _timed_out(timeout_s: float) -> Fields:
    return {"status": "timeout", "error": f"The job ran longer than its limit of {timeout_s:g} seconds."}
