"""The worker's handle of one kept process: its sockets, what it was given, and how far it came.

Used by `kept_jobs.KeptJobs` only; belongs to the worker's event loop. What the other end does is
described in `kept`. It runs functions that were registered, which may write anything to its socket: a
message that is no message ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from jobs import functions
from jobs.executors.environment import kept_environment
from jobs.executors.kept_wire import Board, Call, clock, frame
from jobs.executors.process import JobProcesses, starting

T = TypeVar("T")

_READ_BYTES = 262_144
_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_GONE_S = 5.0
_END_IS_TOLD_S = 1.0


class KeptProcess(Generic[T]):
    """`jobs` holds what was sent and not answered, by number, in the order in which it is begun."""

    def __init__(
        self,
        processes: JobProcesses,
        slots: int,
        on_message: Callable[[KeptProcess[T], dict[str, Any]], None],
        on_gone: Callable[[KeptProcess[T]], None],
    ) -> None:
        """Start it. Raises NoRoom and CannotStart."""
        self.jobs: dict[int, T] = {}
        self.limits: dict[int, float] = {}  # number: when it must have ended, once it is seen to have begun
        self.stopping: set[int] = set()
        self.pid: int | None = None
        self.exit_code: int | None = None
        self.ready_at = 0.0
        self.sent: list[tuple[int, float]] = []  # last number of a batch, when it was sent
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_gone = on_gone
        self._partial = b""
        self._unsent = bytearray()
        self._is_gone = False
        self.was_killed = False
        self.killed_for_a_job = False
        with starting(), contextlib.ExitStack() as ours:
            self._open(processes, slots, ours)
            ours.pop_all()

    @property
    def is_withdrawn(self) -> bool:
        return self.board.is_withdrawn()

    @property
    def begun(self) -> int:
        return self.board.begun

    def unbegun(self) -> list[int]:
        """The numbers that were not begun, in order."""
        begun = self.board.begun
        return [number for number in self.jobs if number > begun]

    def call(self, calls: list[Call], jobs: list[T]) -> None:
        """Have these run; `jobs` are kept under their numbers until they are answered."""
        self.jobs.update(zip([call[0] for call in calls], jobs, strict=True))
        self.sent.append((calls[-1][0], clock()))
        self._send("calls", calls)

    def release(self, numbers: list[int]) -> None:
        """Take these back; they are answered as not begun, or have begun."""
        self._send("release", numbers)

    def stop(self, number: int) -> None:
        self._send("stop", number)

    def withdraw(self) -> None:
        """It begins nothing more, and ends when what it has begun has ended."""
        self.board.withdraw()
        self._send("withdrawn", None)

    def kill(self, *, for_a_job: bool = False) -> None:
        """Kill it and all it started; `on_gone` follows. `for_a_job`: one that had to end and did not."""
        if not (self._is_gone or self.was_killed):
            self.was_killed, self.killed_for_a_job = True, for_a_job
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_WR)
            self._loop.call_later(_GONE_S, self._force)

    def _open(self, processes: JobProcesses, slots: int, ours: contextlib.ExitStack) -> None:
        with contextlib.ExitStack() as theirs:
            self._control, control = _pair(ours, theirs)
            self._data, data = _pair(ours, theirs)
            memory = Board.memory()
            theirs.callback(os.close, memory)
            self.board = Board(memory)
            folder = processes.fork_kept([control.fileno(), data.fileno(), memory])
        order = {
            "kept": True,
            "spec": {"memory_mb": None, "cpu_s": None},
            "environment": kept_environment(os.environ),
            "folder": str(folder),
            "modules": functions.loaded(),
            "slots": slots,
        }
        self._control.sendall(json.dumps(order).encode() + b"\n")
        self._control.setblocking(False)
        self._data.setblocking(False)
        self._loop.add_reader(self._control.fileno(), self._read_control)
        self._loop.add_reader(self._data.fileno(), self._read_data)

    def _send(self, kind: str, value: Any) -> None:
        if self._is_gone:
            return
        waiting = bool(self._unsent)
        self._unsent += frame(kind, value)
        if not waiting:
            self._write()

    def _write(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._data.send(self._unsent)]
        except BlockingIOError:
            self._loop.add_writer(self._data.fileno(), self._write)
            return
        except OSError:  # it is gone, as the other socket will say
            self._unsent.clear()
        self._loop.remove_writer(self._data.fileno())

    def _read_control(self) -> None:
        try:
            data = self._control.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for line in data.splitlines():
            message = _parsed(line) or {}
            self.pid = message.get("job", self.pid)
            self.exit_code = message.get("exit", self.exit_code)
        if not data:
            self._end()

    def _read_data(self) -> None:
        try:
            data = self._data.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._data.fileno())
            # Its end closes this socket too, and then how it ended is on its way.
            self._loop.call_later(_END_IS_TOLD_S, self.kill)
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > _MAX_MESSAGE_BYTES:
            self.kill()
        for line in lines:
            self._heed(line)

    def _heed(self, line: bytes) -> None:
        message = _parsed(line)
        if message is None:
            self.kill()
            return
        if "ready" in message:
            self.ready_at = clock()
        else:
            self._on_message(self, message)

    def _force(self) -> None:
        """The guard did not do it: somebody killed the guard."""
        if not self._is_gone:
            if self.pid is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
            self._end()

    def _end(self) -> None:
        """Everything of it is gone: what it wrote before is in the socket."""
        self._loop.remove_reader(self._control.fileno())
        with contextlib.suppress(OSError):
            while data := self._data.recv(_READ_BYTES):
                *lines, self._partial = (self._partial + data).split(b"\n")
                for line in lines:
                    self._heed(line)
        self._loop.remove_reader(self._data.fileno())
        self._loop.remove_writer(self._data.fileno())
        self._is_gone = True
        self._control.close()
        self._data.close()
        self._on_gone(self)


def _pair(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair()
    return ours.enter_context(one), theirs.enter_context(other)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """One message; None for anything else."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
