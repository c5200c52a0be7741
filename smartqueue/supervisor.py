"""Runs the processes of `manage.py up`: starts them, restarts what dies, stops all in order.

Each child is the leader of a session of its own, so that Ctrl-C reaches the supervisor alone; on
Linux the kernel sends SIGTERM to a child whose supervisor is gone, even after a kill -9.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
QUICK_DEATH_S = 5.0
LONGEST_PAUSE_S = 10.0
LOG_KEEP_BYTES = 5 * 1024 * 1024


@dataclass
class Child:
    """One supervised process, told to stop by SIGTERM.

    `hurry_s`: when it is told a second time, if ever; `stop_s`: when it is killed.
    """

    name: str
    command: Sequence[str]
    stop_s: float = 10.0
    hurry_s: float | None = None
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    pause_s: float = field(default=0.5)


class Supervisor:
    """Start with `start`, call `check` now and then, end with `stop`; all from one thread."""

    def __init__(self, log_dir: Path, *, say: Callable[[str], None]) -> None:
        self.log_dir = log_dir
        self.say = say
        self.children: list[Child] = []
        log_dir.mkdir(parents=True, exist_ok=True)

    def start(self, child: Child) -> None:
        self.children.append(child)
        self._spawn(child)

    def check(self) -> None:
        """Restart children that ended, each after a pause that grows while it keeps dying quickly."""
        now = time.monotonic()
        for child in self.children:
            assert child.process is not None
            if (code := child.process.poll()) is None:
                continue
            if not child.restart_at:
                quick = now - child.started_at < QUICK_DEATH_S
                child.pause_s = min(child.pause_s * 2, LONGEST_PAUSE_S) if quick else 0.5
                child.restart_at = now + child.pause_s
                self.say(
                    f"{child.name} ended ({_reason(code)}); starting it again. Log: {self._log_path(child)}"
                )
            elif child.restart_at <= now:
                self._spawn(child)

    def stop(self) -> None:
        """SIGTERM in the order of starting reversed, each child waited for, then killed if it must be."""
        for child in reversed(self.children):
            assert child.process is not None
            if child.process.poll() is None:
                child.process.terminate()
        told_at = time.monotonic()
        for child in reversed(self.children):
            self._wait(child, told_at)

    def _wait(self, child: Child, told_at: float) -> None:
        assert child.process is not None
        if child.hurry_s is not None and not _ends(child.process, told_at + child.hurry_s):
            child.process.terminate()
        try:
            child.process.wait(child.stop_s)
        except subprocess.TimeoutExpired:
            self.say(f"{child.name} did not stop within {child.stop_s:g} s and is killed.")
            child.process.kill()
            child.process.wait()

    def _spawn(self, child: Child) -> None:
        child.started_at, child.restart_at = time.monotonic(), 0.0
        path = self._log_path(child)
        if path.exists() and path.stat().st_size > LOG_KEEP_BYTES:
            path.replace(path.with_suffix(".old.log"))
        with path.open("ab") as log:
            child.process = subprocess.Popen(
                child.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=child.pass_fds,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
            )

    def _log_path(self, child: Child) -> Path:
        return self.log_dir / f"{child.name}.log"


def _ends(process: subprocess.Popen[bytes], until: float) -> bool:
    try:
        process.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _reason(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    assert _libc is not None
    parent = os.getppid()
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)  # the supervisor died between fork and prctl: nobody would send the signal
