"""What every executor shares: the job it is given, the errors it may raise, the outcome that comes of it.

An executor is a function `JobSpec -> result`; the result is a JSON value. It runs inside the job's own
process, in the job's empty working folder, with its output going to the job's log. Standard library
only: the process that all jobs are forked from imports this.
"""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

MAX_DELAY_S = 86_400.0

Status = Literal["done", "failed", "timeout", "cancelled", "crashed", "snoozed"]


@dataclass(frozen=True)
class JobSpec:
    """One attempt of one job. `idempotency_id` is the same for every attempt of the job.

    The limits hold for all processes of the attempt together: `memory_mb` MiB of memory at one time,
    `cpu_s` seconds of processor time. At `soft_timeout_s`, less than `timeout_s`, the job is told.
    """

    id: int
    org_id: int
    attempt: int
    type: str
    name: str
    payload: dict[str, Any]
    timeout_s: float
    idempotency_id: str
    soft_timeout_s: float | None = None
    memory_mb: int | None = None
    cpu_s: float | None = None


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    `runtime_ms` runs from the start of the job's process to its end; 0 when it was stopped before it
    started. `result` is a JSON value, set when the status is "done". `retryable` is False where another
    attempt would fail the same way; `error` says so. "snoozed" is no failure: the job runs again after
    `retry_after_s`, from 0 to 86400, which is set then. Every text can be stored.
    """

    status: Status
    runtime_ms: float
    result: Any = None
    error: str = ""
    retryable: bool = True
    retry_after_s: float | None = None


class JobError(Exception):
    """The job failed; another attempt may succeed, not before `retry_after_s` seconds when that is given."""

    retryable = True

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PermanentError(JobError):
    """The job failed, and would fail again: nothing is gained by another attempt."""

    retryable = False


class Snooze(Exception):
    """Not now: run the job again in `delay_s` seconds, at most a day, at no cost in retries."""

    def __init__(self, delay_s: float) -> None:
        if isinstance(delay_s, bool) or not isinstance(delay_s, int | float):
            raise TypeError(f"Snooze: expected a number of seconds, not {type(delay_s).__name__}.")
        if not 0 <= delay_s <= MAX_DELAY_S:
            raise ValueError(f"Snooze: expected from 0 to {MAX_DELAY_S:g} seconds.")
        super().__init__(f"Again in {delay_s:g} seconds.")
        self.delay_s = float(delay_s)


class SoftTimeout(BaseException):
    """The job's soft limit is reached. A function may catch it, clean up, and return.

    No Exception, so that a function which logs and goes on after any error still ends.
    """


Executor = Callable[[JobSpec], Any]


def idempotency_id(org_id: int, job_id: int) -> str:
    """The name under which every attempt of this job is known outside, as to the receiver of an http job."""
    return f"smartqueue-{org_id}-{job_id}"


def say(text: str) -> None:
    """One line for the job's log."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def signal_name(number: int) -> str:
    """SIGKILL for 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _imported_when_called(module: str) -> Executor:
    """An http job must not pay for the import of scikit-learn."""

    def execute(spec: JobSpec) -> Any:
        return importlib.import_module(f"jobs.executors.{module}").execute(spec)

    return execute


EXECUTORS: dict[str, Executor] = {
    name: _imported_when_called(name) for name in ("http", "shell", "etl", "ml", "python")
}
