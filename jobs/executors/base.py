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

Status = Literal["done", "failed", "timeout", "cancelled", "crashed"]


@dataclass(frozen=True)
class JobSpec:
    """One attempt of one job. `idempotency_id` is the same for every attempt of the job."""

    id: int
    org_id: int
    attempt: int
    type: str
    name: str
    payload: dict[str, Any]
    timeout_s: float
    idempotency_id: str


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    `runtime_ms` runs from the start of the job's process to its end; 0 when it was stopped before it
    started. `result` is a JSON value, set when the status is "done". `retryable` is False where another
    attempt would fail the same way. `retry_after_s` is from 0 to 86400. Every text can be stored.
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


Executor = Callable[[JobSpec], Any]


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
