"""A worker of one job, for tests that kill it: prints what the job prints, then how it ended."""

from __future__ import annotations

import asyncio
import json
import sys

from jobs import functions
from jobs.executors.base import JobSpec, say
from jobs.executors.process import JobProcesses
from tests.executors import sample_functions


async def main(type: str, payload: str) -> None:
    functions.load([sample_functions.MODULE])
    spec = JobSpec(1, 1, 1, type, "lonely", json.loads(payload), 1000.0, "idem-1")
    with JobProcesses() as processes:
        outcome = await processes.run(spec, on_line=lambda _, text: say(text), stop=asyncio.Event())
    say(outcome.status)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
