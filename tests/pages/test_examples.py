"""The examples of the submit form are run as they stand, in real job processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from jobs import examples
from jobs.executors.base import JobSpec, Outcome
from jobs.executors.process import JobProcesses
from jobs.payloads import JOB_TYPES
from tests.executors.receiver import receiver


@pytest.fixture(scope="module")
def processes() -> Iterator[JobProcesses]:
    with JobProcesses() as made:
        yield made


@pytest.fixture
def health_url() -> Iterator[str]:
    with receiver() as web:
        yield web.give("/healthz", 200, {"status": "ok"})


@pytest.mark.parametrize("job_type", JOB_TYPES)
def test_each_example_ends_well_unchanged(processes: JobProcesses, health_url: str, job_type: str) -> None:
    payload = examples.payload(job_type, health_url=health_url)
    spec = JobSpec(
        id=7,
        org_id=1,
        type=job_type,
        payload=payload,
        idempotency_id="idem-7",
        timeout_s=60.0,
        attempt=1,
        name=job_type,
    )

    async def run() -> Outcome:
        return await processes.run(spec, on_line=lambda stream, text: None, stop=asyncio.Event())

    outcome = asyncio.run(run())
    assert (outcome.status, outcome.error) == ("done", "")
    if job_type == "etl":
        assert [row[1] for row in outcome.result["rows"]] == [50, 50, 50]
