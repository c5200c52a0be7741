"""Jobs in every state, brought there by the queue's own statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs import claims, leases, output, reclaims
from jobs.models import Job, Worker

WORKER = "worker-under-test"


def claim(job: Job) -> Job:
    """`job` runs; it must be the only one that waits."""
    claims.claim(worker_id=WORKER, types=[job.type], limit=1, lease_s=30)
    job.refresh_from_db()
    assert job.status == "running"
    return job


def finish(job: Job, ending: str = "done", **values: Any) -> Job:
    ended = claims.Finish(job_id=job.pk, attempt=job.attempt, ending=ending, runtime_ms=12.5, **values)  # type: ignore[arg-type]
    leases.finish(worker_id=WORKER, ended=[ended])
    job.refresh_from_db()
    return job


def write_lines(job: Job, attempt: int, *texts: str) -> None:
    output.append(
        [output.Line(job.pk, attempt, seq, "stdout", text) for seq, text in enumerate(texts, start=1)]
    )


@pytest.fixture
def done_job(bob: Any, submit: Callable[..., Job]) -> Job:
    """A job of Acme that ended well in its second attempt, with output, a result and a first error."""
    job = claim(submit(bob, name="acme-nightly", payload={"function": "echo", "args": ["acme-payload"]}))
    write_lines(job, 1, "acme-first", "acme-failing")
    finish(job, "failed", error="acme-error", retry_delay_s=0.0)
    reclaims.promote_due(actor="test")
    claim(job)
    write_lines(job, 2, "acme-again")
    return finish(job, result={"answer": "acme-result"})


@pytest.fixture
def worker(db: None) -> Worker:
    return Worker.objects.create(worker_id=WORKER, hostname="host-1", pid=4242, concurrency=4, running=1)
