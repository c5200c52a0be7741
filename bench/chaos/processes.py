"""Processes of a scenario: each is a child of this one, is ended by its pid, and dies with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import psycopg

from smartqueue.postgres.identity import RunAs, child_setup

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0
STOP_S = 30.0

Process = subprocess.Popen[bytes]
T = TypeVar("T")


class Processes:
    """Starts processes that find the database at `url`; each writes to a log of its own in `folder`."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._environment = _environment(url)
        self._started: list[Process] = []
        self._names: dict[int, str] = {}  # by pid

    def start(self, command: Sequence[str], name: str, **environment: str) -> Process:
        name = f"{name}-{len(self._started)}"
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env={**self._environment, "PGAPPNAME": name, **environment},
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=child_setup(RunAs.SELF, signal.SIGKILL),  # noqa: PLW1509 - one thread
            )
        self._started.append(process)
        self._names[process.pid] = name
        return process

    def run(self, command: Sequence[str]) -> None:
        """Start it and wait for its end; RuntimeError with its output when it fails."""
        process = self.start(command, "once")
        if process.wait(WAIT_S):
            raise RuntimeError(f"{' '.join(command[1:])}:\n{self.tail_of(process)}")

    def name_of(self, process: Process) -> str:
        """Also what its sessions are called, where it does not name them itself."""
        return self._names[process.pid]

    def tail_of(self, process: Process) -> str:
        """The last lines that it wrote."""
        log = (self._folder / f"{self.name_of(process)}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(log.splitlines()[-20:])

    def end_all(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self._started:
            end(process)


def wait_for(
    condition: Callable[[], T | None], what: str, timeout_s: float = WAIT_S, every_s: float = 0.02
) -> T:
    """The first true value of `condition`; TimeoutError after so many seconds. A database that is away is no value."""
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(psycopg.OperationalError):
            if value := condition():
                return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(every_s)


@contextlib.contextmanager
def stopped(process: Process) -> Iterator[None]:
    """The process stands still meanwhile."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def kill(process: Process) -> None:
    process.kill()
    process.wait(STOP_S)


def end(process: Process) -> None:
    try:
        process.wait(WAIT_S)
    except subprocess.TimeoutExpired:
        kill(process)
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def manage(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), *arguments]


def _environment(url: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SMARTQUEUE_")}
    return {
        **ours,
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "smartqueue.settings",
        "SMARTQUEUE_SECRET_KEY": "chaos-only-" + "k" * 40,
        "SMARTQUEUE_FUNCTIONS": "bench.chaos.functions",
        "SMARTQUEUE_RETRY_BASE_S": "0.5",
        "SMARTQUEUE_RETRY_CAP_S": "2",
        "PYTHONPATH": str(ROOT),
    }
