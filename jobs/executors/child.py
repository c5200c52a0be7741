"""The job's own process: what runs there, and what it reports.

The process gets its job from its parent (see `guard`). It writes two lines to the worker: {"job": pid}
when it starts, which is when the job's time begins, and {"outcome": {...}} when the executor has ended,
whatever happens. Called by `guard`; `perform` also by tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn, TextIO

from jobs import functions
from jobs.executors import jsonvalue, outcomes, soft, usage
from jobs.executors.base import EXECUTORS, JobError, JobSpec, PermanentError, Snooze, SoftTimeout

Fields = dict[str, Any]


def live(worker: socket.socket, order: Fields, stdout: int, stderr: int) -> NoReturn:
    """The whole life of the process. The order says: spec, environment, folder, modules."""
    code = 1
    try:
        os.setsid()
        spec = JobSpec(**order["spec"])
        if _is_told_by_signal(spec):
            soft.hold()
        send(worker, {"job": os.getpid()})
        _settle(order, stdout, stderr)
        usage.limit_this_process(spec.memory_mb, spec.cpu_s)
        outcome = perform(spec, order["modules"])
        sys.stdout.flush()
        sys.stderr.flush()
        send(worker, {"outcome": outcome})
        code = 0
    except ConnectionError:
        pass  # the worker wants to hear nothing more; the guard sees to the rest
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def perform(spec: JobSpec, modules: Sequence[str] = ()) -> Fields:
    """Run the executor here and now; the outcome as fields of `base.Outcome`, whatever happens."""
    try:
        functions.load(modules)
        with soft.delivered() if _is_told_by_signal(spec) else contextlib.nullcontext():
            result = EXECUTORS[spec.type](spec)
        return {"status": "done", "result": _storable(result)}
    except JobError as error:
        return outcomes.failed(str(error), retryable=error.retryable, retry_after_s=error.retry_after_s)
    except Snooze as snooze:
        return outcomes.snoozed(snooze.delay_s)
    except SoftTimeout:
        traceback.print_exc()
        return outcomes.soft_timed_out(spec.soft_timeout_s)
    except BaseException as error:
        traceback.print_exc()
        if isinstance(error, MemoryError) and spec.memory_mb is not None:
            return outcomes.over_memory(spec.memory_mb)
        return outcomes.failed(f"{type(error).__name__}: {error}", retryable=True)


def _is_told_by_signal(spec: JobSpec) -> bool:
    """Other types are sent SIGTERM at their soft limit."""
    return spec.type == "python" and spec.soft_timeout_s is not None


def send(worker: socket.socket, message: Fields) -> None:
    """One message, on a line of its own: a process that was killed may have left half a line before it."""
    worker.sendall(b"\n" + json.dumps(message).encode() + b"\n")


def _settle(order: Fields, stdout: int, stderr: int) -> None:
    signal.set_wakeup_fd(-1)
    for default in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(default, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    for descriptor, standard in ((stdout, 1), (stderr, 2)):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    sys.stdout, sys.stderr = _line_by_line(1), _line_by_line(2)


def _line_by_line(descriptor: int) -> TextIO:
    """Output that the log can follow while the job runs."""
    return os.fdopen(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _storable(result: Any) -> Any:
    """The result as it will be stored; raises PermanentError when it cannot be."""
    try:
        value = json.loads(json.dumps(result, allow_nan=False))
        jsonvalue.check(value)
    except jsonvalue.Unstorable as problem:
        where = ".".join(["result", *map(str, problem.path)])
        raise PermanentError(f"The result cannot be stored: {where}: {problem}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise PermanentError(f"The result cannot be stored as JSON: {error}.") from None
    return value
