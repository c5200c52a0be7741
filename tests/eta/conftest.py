"""A pool that takes everything, jobs whose runtimes are known, and intervals that nobody has corrected yet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from jobs.eta_models import Eta, EtaCorrection
from jobs.models import Job, Worker
from jobs.payloads import JOB_TYPES
from orgs.models import User

Waiting = Callable[..., Job]


@pytest.fixture
def worker(db: None) -> Worker:
    return Worker.objects.create(
        worker_id="w1",
        hostname="node-1",
        pid=1,
        concurrency=2,
        types=list(JOB_TYPES),
        last_seen=timezone.now(),
    )


@pytest.fixture
def waiting(submit: Waiting) -> Waiting:
    """`waiting(user, seconds)`: a queued job that its history predicts to run so long, in the order of submission."""

    def queue(user: User, seconds: float = 10.0, source: str = "lstm", **fields: object) -> Job:
        return predicted(submit(user, **fields), seconds, source)

    return queue


@pytest.fixture
def uncorrected(db: None) -> None:
    shifts = dict.fromkeys(("low_shift", "middle_shift", "high_shift"), 0.0)
    EtaCorrection.objects.bulk_create(
        EtaCorrection(bucket=place, low_miss=0.1, high_miss=0.1, **shifts) for place in range(6)
    )


def predicted(job: Job, seconds: float, source: str = "lstm") -> Job:
    ms = seconds * 1000
    Job.objects.filter(pk=job.pk).update(
        predicted_runtime_ms=ms,
        predicted_low_ms=ms * 0.9,
        predicted_high_ms=ms * 1.1,
        prediction_source=source,
        rank=job.pk,
    )
    job.refresh_from_db()
    return job


def starts_in(job: Job) -> float:
    eta = Eta.objects.get(pk=job.pk)
    return (eta.start_at - eta.as_of).total_seconds()
