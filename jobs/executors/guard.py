"""The parent of one job's process: it sees to it that nothing of the job stays behind.

The guard forks the job, passes on a request to end, and reports how the job's process ended. When that
process is gone, or the worker closed its end of the control socket or died, it kills the job's process
group and, on Linux, every other descendant, also one that moved to a group of its own. It does so too when
all of them together use more than the job may. It is not in the job's group and runs no code of the job: a
job that keeps the interpreter lock, ignores signals or kills its whole group does not touch it.

Control socket, worker to guard: one line with the job (see `child.live`), then END_SOON (SIGTERM to the
group) or TELL (the signal that raises SoftTimeout, to the job's process). Back, one line each:
{"job": pid} and {"outcome": {...}} from the job; {"exit": code} or {"over": limit}; {"gone": true}.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import traceback
from typing import Any, NoReturn

from jobs.executors import child, prctl, soft, usage

END_SOON, TELL = b"T", b"S"


def run(control: int, stdout: int, stderr: int) -> NoReturn:
    """Guard the job that the control socket describes; never returns."""
    try:
        worker = socket.socket(fileno=control)
        request = worker.makefile("rb").readline()
        if request.endswith(b"\n"):
            with contextlib.suppress(ConnectionError):  # the worker may be gone at any time
                _guard(worker, json.loads(request), stdout, stderr)
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(0)


def _guard(worker: socket.socket, order: dict[str, Any], stdout: int, stderr: int) -> None:
    prctl.adopt_orphans()
    watch = usage.Watch(order["spec"]["memory_mb"], order["spec"]["cpu_s"])
    woken = _wakened_by_children()
    job = os.fork()
    if job == 0:
        live = importlib.import_module("jobs.executors.kept").live if "kept" in order else child.live
        live(worker, order, stdout, stderr)
    os.close(stdout)
    os.close(stderr)
    try:
        if last := _until_gone(worker, job, woken, watch):
            child.send(worker, last)
    finally:
        _kill_all(job)
    child.send(worker, {"gone": True})


def _until_gone(worker: socket.socket, job: int, woken: int, watch: usage.Watch) -> child.Fields | None:
    """How the job's process ended, or which limit it is over; None when the worker let go of the socket."""
    while True:
        ready, _, _ = select.select([worker.fileno(), woken], [], [], watch.wait_s)
        if worker.fileno() in ready:
            request = worker.recv(1)
            if not request:
                return None
            _pass_on(request, job)
        if woken in ready:
            os.read(woken, 512)
            code = _reap(job)
            if code is not None:
                return {"exit": code}
        if limit := watch.exceeded():
            return {"over": limit}


def _pass_on(request: bytes, job: int) -> None:
    if request == TELL:
        os.kill(job, soft.SIGNAL)
    else:
        _signal_group(job, signal.SIGTERM)


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
