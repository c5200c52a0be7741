"""A worker's light functions as tests call them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.executors.kept_jobs import Ended, KeptJobs
from jobs.executors.process import JobProcesses


@dataclass(eq=False)
class Job:
    function: str
    args: Sequence[Any] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    timeout_s: float = 30.0
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""

    @property
    def status(self) -> str | None:
        assert len(self.outcomes) <= 1, "it ended more than once"
        return self.outcomes[0]["status"] if self.outcomes else None

    @property
    def outcome(self) -> dict[str, Any]:
        (outcome,) = self.outcomes
        return outcome


class Caller:
    """A worker's light functions, with what they say kept in the jobs."""

    def __init__(self, processes: JobProcesses, slots: int = 4) -> None:
        self.broken: list[str] = []
        self.kept: KeptJobs[Job] = KeptJobs(
            processes,
            slots,
            call_of=lambda number, job: (
                number, 1, 1, "idem-1", job.function, list(job.args), job.kwargs, job.timeout_s,
            ),
            on_ended=self._note_ended,
            on_text=self._note_text,
            on_broken=self.broken.append,
        )  # fmt: skip
        self.kept.open()

    async def run(self, *jobs: Job) -> None:
        self.kept.start(jobs)
        await self.until(lambda: all(job.outcomes for job in jobs))

    async def result(self, function: str, *args: Any) -> Any:
        job = Job(function, args)
        await self.run(job)
        assert job.status == "done", job.outcome
        return job.outcome["result"]

    async def begun(self, pid_file: Path) -> int:
        await self.until(lambda: pid_file.exists() and pid_file.read_text())
        return int(pid_file.read_text())

    async def until(self, condition: Any, timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                await asyncio.sleep(0.01)

    def _note_ended(self, ended: list[Ended[Job]]) -> None:
        for job, fields, _ in ended:
            job.outcomes.append(fields)

    def _note_text(self, job: Job, stream: str, text: str) -> None:
        job.text += text
