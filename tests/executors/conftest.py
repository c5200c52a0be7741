from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from jobs import functions
from jobs.executors.base import JobSpec, Outcome
from jobs.executors.process import JobProcesses
from tests.executors import light_functions, sample_functions
from tests.executors.kept_calling import Caller
from tests.executors.receiver import Receiver, receiver
from tests.waiting import wait_until

KEPT_SECRETS = ("DATABASE_URL", "SMARTQUEUE_SECRET_KEY", "PGPASSWORD")
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def make_spec(type: str, payload: dict[str, Any], **fields: Any) -> JobSpec:
    values: dict[str, Any] = {"timeout_s": 30.0, "attempt": 2, "name": type, **fields}
    return JobSpec(id=7, org_id=1, type=type, payload=payload, idempotency_id="idem-7", **values)


@dataclass
class Runner:
    """Runs jobs in real processes; keeps the lines of the last one."""

    processes: JobProcesses
    lines: list[tuple[str, str]] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, type: str, payload: dict[str, Any], **fields: Any) -> Outcome:
        self.lines.clear()
        return await self.processes.run(
            make_spec(type, payload, **fields), on_line=self.on_line, stop=self.stop
        )

    async def shell(self, command: str, **fields: Any) -> Outcome:
        return await self.run("shell", {"command": command}, **fields)

    async def call(self, function: str, *args: Any, **fields: Any) -> Outcome:
        return await self.run("python", {"function": function, "args": list(args)}, **fields)

    def on_line(self, stream: str, text: str) -> None:
        self.lines.append((stream, text))

    def text(self, stream: str = "stdout") -> str:
        return "\n".join(text for from_stream, text in self.lines if from_stream == stream)


@pytest_asyncio.fixture
async def caller(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Caller]:
    for name in KEPT_SECRETS:
        monkeypatch.setenv(name, "hunter2")
    light_functions.load(monkeypatch)
    with JobProcesses() as processes:
        made = Caller(processes)
        yield made
        made.kept.close()
        await made.until(lambda: not made.kept._all)


@pytest.fixture(scope="session")
def _processes() -> Iterator[JobProcesses]:
    functions.load([sample_functions.MODULE])
    with JobProcesses() as processes:
        yield processes


@pytest.fixture
def runner(_processes: JobProcesses) -> Runner:
    return Runner(_processes)


def all_gone(*pids: int) -> None:
    for pid in pids:
        wait_until(lambda pid=pid: not is_running(pid), message=f"process {pid} is gone")  # type: ignore[misc]


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], check=False, capture_output=True, text=True
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")


@pytest.fixture
def web() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of an executor that a test calls in its own process."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
