"""The kinds of jobs that a scenario submits, and how each must end. Pure: the load and the ledger use it."""

from __future__ import annotations

from typing import Any

ENDS = {
    "light": "done",
    "file": "done",
    "flaky": "done",
    "nap": "done",
    "spin": "done",
    "hog": "done",
    "doomed": "failed",
}
ONE_ATTEMPT = ("light", "file", "nap", "spin")  # of these nothing but a fault makes a second attempt
MIX = (*["light"] * 7, "file", *["light"] * 6, "file", "nap", "light", "flaky", "file", "doomed")

FILE_BYTES = 65_536
_RETRIES = 20  # more than the kills that one job can meet


def fields(kind: str, seconds: float = 0) -> dict[str, Any]:
    """What to submit for a job of this kind; `seconds` is how long the long ones take."""
    type_, payload = _work(kind, seconds)
    retries = 1 if kind == "doomed" else _RETRIES
    return {"name": kind, "type": type_, "payload": payload, "max_retries": retries, "timeout_s": 900}


def _work(kind: str, seconds: float) -> tuple[str, dict[str, Any]]:
    works = {
        "light": _function("echo", "x" * 200),
        "nap": _function("sleep", seconds or 0.3),
        "spin": _function("chaos.spin", seconds),
        "doomed": _function("fail"),
        "file": _command(f"head -c {FILE_BYTES} /dev/zero > out && wc -c < out"),
        "flaky": _command('echo "attempt $SMARTQUEUE_ATTEMPT"; [ "$SMARTQUEUE_ATTEMPT" -gt 1 ]'),
        # Takes what is left of the disk, and keeps it.
        "hog": _command(f"cat /dev/zero > out; sleep {seconds}; rm out"),
    }
    return works[kind]


def _function(name: str, *args: Any) -> tuple[str, dict[str, Any]]:
    return "python", {"function": name, "args": list(args)}


def _command(command: str) -> tuple[str, dict[str, Any]]:
    return "shell", {"command": command}
