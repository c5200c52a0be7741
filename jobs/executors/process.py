"""Runs each job in a process of its own: the door that the worker uses.

`JobProcesses` belongs to the worker's event loop. Whatever way an attempt ends (done, failed, out of
time, stopped, killed, the worker's task cancelled), its whole process group is killed and its working
folder removed before `run` returns. When the worker itself is killed, the guard of each job (see
`guard`) and the fork servers (see `forkserver`) do the same without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from jobs import functions
from jobs.executors import forkserver
from jobs.executors.attempt import Attempt, until_the_end, until_the_start
from jobs.executors.base import JobSpec, Outcome
from jobs.executors.environment import fork_server_environment, job_environment
from jobs.executors.output import OnLine

NO_ROOM_S = 30.0

_CLOSE_S = 10.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)

# A fork server each, started when it is first needed: what these import takes a job up to seconds, and
# makes each fork dearer by milliseconds, which the small jobs should not pay for.
_HEAVY = {name: (f"jobs.executors.{name}",) for name in ("http", "etl", "ml")}
_LIGHT = ("jobs.executors.python", "jobs.executors.shell")


class CannotStart(OSError):
    """This machine has no process or no folder for a job now. The job did not run."""


class NoRoom(CannotStart):
    """For want of disk space or descriptors, which may be there later."""


class JobProcesses:
    """Starts and ends the processes of one worker's jobs; a context manager."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="smartqueue-jobs-"))
        self._folders = 0
        self._running: set[Attempt] = set()
        self._servers: dict[tuple[str, ...], ForkServer] = {}
        self._server(_LIGHT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def run(self, spec: JobSpec, *, on_line: OnLine, stop: asyncio.Event) -> Outcome:
        """Run one attempt to its end, at most `spec.timeout_s` seconds from the start of its process.

        `on_line(stream, text)` gets each line of output as it comes; stream is stdout, stderr or system.
        Setting `stop` ends the job (SIGTERM to its group, SIGKILL soon after) as "cancelled". Raises
        CannotStart, and that only, when no process can be started here; where only the disk is full the
        job is put off as "snoozed".
        """
        try:
            folder = self._new_folder()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise _cannot_start(error) from error
            on_line("system", f"No room for the working folder: {error.strerror}. Again in {NO_ROOM_S:g} s.")
            return Outcome("snoozed", 0.0, retry_after_s=NO_ROOM_S)
        try:
            try:
                return await self._run(spec, folder, on_line, stop)
            except CannotStart:  # as when the fork server was killed before it came to this one
                return await self._run(spec, folder, on_line, stop)
        finally:
            await _remove(folder)

    def fork_kept(self, descriptors: list[int]) -> Path:
        """Have a guard forked for a kept process (see kept_process), and a folder made for it.

        The descriptors are its control socket, its data socket and its board; the caller closes them.
        Raises OSError.
        """
        folder = self._new_folder()
        try:
            self._server(_LIGHT).fork(descriptors)
        except OSError:
            folder.rmdir()
            raise
        return folder

    def close(self) -> None:
        """Kill the jobs that still run, end the fork servers, remove all working folders."""
        for attempt in self._running:
            attempt.kill()
        for server in self._servers.values():
            server.close()
        shutil.rmtree(self._root, ignore_errors=True)

    async def _run(self, spec: JobSpec, folder: Path, on_line: OnLine, stop: asyncio.Event) -> Outcome:
        with starting():
            attempt, descriptors = await Attempt.open(on_line)
        self._running.add(attempt)
        try:
            with starting():
                self._fork(spec.type, descriptors)
                attempt.send(_order(spec, folder))
                await until_the_start(attempt, stop)
            return await until_the_end(attempt, spec, stop)
        finally:
            await attempt.close()
            self._running.discard(attempt)

    def _fork(self, type: str, descriptors: list[int]) -> None:
        try:
            self._server(_HEAVY.get(type, _LIGHT)).fork(descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _server(self, preload: tuple[str, ...]) -> ForkServer:
        if preload not in self._servers:
            self._servers[preload] = ForkServer(self._root, preload)
        return self._servers[preload]

    def _new_folder(self) -> Path:
        self._folders += 1
        folder = self._root / str(self._folders)
        folder.mkdir(mode=0o700, parents=True)
        return folder


class ForkServer:
    """The worker's handle of one `forkserver` process; starts another when that was killed or hangs."""

    def __init__(self, folder: Path, preload: Sequence[str]) -> None:
        self._arguments = [str(folder), *preload]
        self._killed: list[subprocess.Popen[bytes]] = []
        self._start()

    def fork(self, descriptors: list[int]) -> None:
        """Have a guard forked that gets these descriptors. Never blocks."""
        try:
            socket.send_fds(self._socket, [forkserver.FORK], descriptors)
        except OSError:  # it is dead, or hangs and takes no more
            self._kill()
            self._start()
            socket.send_fds(self._socket, [forkserver.FORK], descriptors)

    def close(self) -> None:
        """End the process; blocks until the guards it forked have ended, or for some seconds."""
        with contextlib.suppress(OSError):
            self._socket.send(forkserver.END)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_S)
        self._kill()
        for process in self._killed:
            process.wait()

    def _kill(self) -> None:
        """Make an end of the process, without waiting; jobs that it forked go on."""
        # Killed first: on the end of the socket alone it would remove the folder.
        self._process.kill()
        self._socket.close()
        self._killed = [process for process in (*self._killed, self._process) if process.poll() is None]

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.setblocking(False)
        module = [sys.executable, "-P", "-m", "jobs.executors.forkserver"]
        with theirs:
            # A session of its own: no signal of the worker's terminal or process group reaches it.
            self._process = subprocess.Popen(
                [*module, str(theirs.fileno()), *self._arguments],
                pass_fds=[theirs.fileno()],
                env=fork_server_environment(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """What fails in it raises NoRoom or CannotStart."""
    try:
        yield
    except OSError as error:
        raise _cannot_start(error) from error


def _cannot_start(error: OSError) -> CannotStart:
    kind = NoRoom if error.errno in (*_NO_ROOM, *_NO_DESCRIPTORS) else CannotStart
    return kind(f"No process can be started for a job: {error}")


def _order(spec: JobSpec, folder: Path) -> bytes:
    """What the guard reads: one line."""
    order = {
        "spec": dataclasses.asdict(spec),
        "environment": job_environment(spec, folder, os.environ),
        "folder": str(folder),
        "modules": functions.loaded() if spec.type == "python" else (),
    }
    return json.dumps(order).encode() + b"\n"


async def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()  # most jobs leave nothing in it
        return
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
