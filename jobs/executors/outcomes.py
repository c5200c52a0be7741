"""How attempts end, as fields of `base.Outcome` that can be stored.

A job's process is not to be trusted: `reported` makes something storable of whatever arrived from it.
Pure; called by `child` inside the job's process and by `attempt` in the worker.
"""

from __future__ import annotations

import math
import signal
from typing import Any

from jobs.executors import jsonvalue
from jobs.executors.base import MAX_DELAY_S, signal_name

MAX_ERROR_CHARACTERS = 10_000
NOT_RETRIED = " (Not retried: another attempt would fail the same way.)"

Fields = dict[str, Any]


def failed(error: str, *, retryable: bool, retry_after_s: Any = None) -> Fields:
    """The executor raised; its own limits on when to try again may be anything."""
    return {
        "status": "failed",
        "error": _storable(error),
        "retryable": retryable,
        "retry_after_s": _delay(retry_after_s),
    }


def reported(report: Any) -> Fields:
    """What the job's process says about its end, with nothing in it that cannot be stored."""
    match report:
        case {"status": "done", "result": result}:
            return _done(result)
        case {"status": "failed", "error": str(error), "retryable": bool(retryable)}:
            return _said(failed(error, retryable=retryable, retry_after_s=report.get("retry_after_s")))
        case {"status": "snoozed", "retry_after_s": delay_s} if (again_s := _delay(delay_s)) is not None:
            return snoozed(again_s)
        case {"status": "timeout", "error": str(error)}:
            return {"status": "timeout", "error": _storable(error)}
    return {"status": "crashed", "error": "The job's process reported something that is no outcome."}


def crashed(exit_code: int | None) -> Fields:
    """The job's process ended without a report; None when not even its exit code is known."""
    if exit_code is None:
        error = "The processes of the job were killed from outside."
    elif exit_code >= 0:
        error = f"The job's process ended with exit code {exit_code} before it reported a result."
    else:
        hint = " That is often for lack of memory." if exit_code == -signal.SIGKILL else ""
        error = f"The job's process was killed by {signal_name(-exit_code)}.{hint}"
    return {"status": "crashed", "error": error}


def cancelled() -> Fields:
    return {"status": "cancelled", "error": "The job was stopped."}


def timed_out(timeout_s: float) -> Fields:
    return {"status": "timeout", "error": f"The job ran longer than its limit of {timeout_s:g} seconds."}


def soft_timed_out(soft_timeout_s: float | None, how: str = "") -> Fields:
    """The job ended because it was told that its soft limit is reached; `how`, in a sentence."""
    limit = "" if soft_timeout_s is None else f" of {soft_timeout_s:g} seconds"
    return {"status": "timeout", "error": f"The job ran longer than its soft limit{limit}. {how}".rstrip()}


def snoozed(delay_s: float) -> Fields:
    return {"status": "snoozed", "retry_after_s": delay_s}


def over_memory(memory_mb: int | None) -> Fields:
    """Worth another attempt: how much a job needs may depend on what it finds, or on its load."""
    limit = "" if memory_mb is None else f" of {memory_mb} MiB"
    return failed(f"The job used more than its memory limit{limit}.", retryable=True)


def over_cpu(cpu_s: float | None) -> Fields:
    limit = "" if cpu_s is None else f" of {cpu_s:g} seconds"
    return failed(f"The job used more than its limit{limit} of CPU time.", retryable=True)


def _done(result: Any) -> Fields:
    try:
        jsonvalue.check(result)
    except jsonvalue.Unstorable as problem:
        return _said(failed(f"The result cannot be stored: {problem}", retryable=False))
    return {"status": "done", "result": result}


def _said(fields: Fields) -> Fields:
    """An error that no retry can mend says so, to whoever wonders why there was none."""
    if fields["retryable"]:
        return fields
    return {**fields, "error": fields["error"][: MAX_ERROR_CHARACTERS - len(NOT_RETRIED)] + NOT_RETRIED}


def _storable(error: str) -> str:
    return jsonvalue.clean_text(error)[:MAX_ERROR_CHARACTERS]


def _delay(seconds: Any) -> float | None:
    """At most a day; None for what is no number of seconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    within = float(max(0, min(MAX_DELAY_S, seconds)))  # before float(), which large integers overflow
    return None if isinstance(seconds, float) and math.isnan(seconds) else within
