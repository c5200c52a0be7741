"""A worker of one job, for tests that kill it: prints what the job prints, after its own folder."""

from __future__ import annotations

import asyncio
import json
import sys

from jobs import functions
from jobs.executors.base import JobSpec
from jobs.executors.process import JobProcesses
from tests.executors import sample_functions


async def main(type: str, payload: str) -> None:
    functions.load([sample_functions.MODULE])
    spec = JobSpec(1, 1, 1, type, "lonely", json.loads(payload), 1000.0, "idem-1")
    with JobProcesses() as processes:
        await processes.run(spec, on_line=lambda _, text: print(text, flush=True), stop=asyncio.Event())  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
