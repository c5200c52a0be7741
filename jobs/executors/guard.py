"""The parent of one job's process: it sees to it that nothing of the job stays behind.

The guard forks the job, passes on a request to end, and reports how the job's process ended. When that
process is gone, or the worker closed its end of the control socket or died, it kills the job's process
group and, on Linux, every other descendant, also one that moved to a group of its own. It is not in the
job's group and runs no code of the job: a job that keeps the interpreter lock, ignores signals or kills
its whole group does not touch it.

Control socket, worker to guard: one line with the job (see `child.live`), then any byte for "end soon".
Back, one line each: {"job": pid} and {"outcome": {...}} from the job; {"exit": code}; {"gone": true}.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import traceback
from typing import NoReturn

from jobs.executors import child, prctl


def run(control: int, stdout: int, stderr: int) -> NoReturn:
    """Guard the job that the control socket describes; never returns."""
    try:
        worker = socket.socket(fileno=control)
        request = worker.makefile("rb").readline()
        if request.endswith(b"\n"):
            with contextlib.suppress(ConnectionError):  # the worker may be gone at any time
                _guard(worker, request, stdout, stderr)
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(0)


def _guard(worker: socket.socket, request: bytes, stdout: int, stderr: int) -> None:
    prctl.adopt_orphans()
    woken = _wakened_by_children()
    job = os.fork()
    if job == 0:
        child.live(worker, request, stdout, stderr)
    os.close(stdout)
    os.close(stderr)
    try:
        code = _until_gone(worker, job, woken)
        if code is not None:
            child.send(worker, {"exit": code})
    finally:
        _kill_all(job)
    child.send(worker, {"gone": True})


def _until_gone(worker: socket.socket, job: int, woken: int) -> int | None:
    """The exit code of the job's process; None when the worker let go of the socket before."""
    while True:
        ready, _, _ = select.select([worker.fileno(), woken], [], [])
        if worker.fileno() in ready:
            if not worker.recv(1):
                return None
            _signal_group(job, signal.SIGTERM)
        if woken in ready:
            os.read(woken, 512)
            code = _reap(job)
            if code is not None:
                return code


def _reap(job: int) -> int | None:
    """Let go of every child that ended; the exit code of the job's process if it is one of them."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == job:
                code = os.waitstatus_to_exitcode(ended[1])
    return code


def _kill_all(job: int) -> None:
    _signal_group(job, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            # Each one that ends may leave children of its own to this process.
            for pid in prctl.children():
                os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def _signal_group(job: int, number: signal.Signals) -> None:
    try:
        os.killpg(job, number)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        # Not yet the leader of its group, or gone with all of the group.
        with contextlib.suppress(ProcessLookupError):
            os.kill(job, number)


def _wakened_by_children() -> int:
    """A descriptor that becomes readable when a child ends."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return readable
