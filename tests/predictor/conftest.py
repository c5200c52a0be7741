from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from jobs import states
from jobs.models import ExecutionLog, Flow, Job
from orgs.models import Organization
from predictor.history import Run
from predictor.models import ModelVersion

LogRuns = Callable[[Organization, Sequence[Run]], None]


@pytest.fixture
def cold_start(db: None) -> ModelVersion:
    """The cold start in force, whatever an earlier test has left."""
    version, _ = ModelVersion.objects.get_or_create(kind=ModelVersion.COLD_START)
    ModelVersion.objects.exclude(pk=version.pk).update(active=False)
    ModelVersion.objects.filter(pk=version.pk).update(active=True)
    return version


@pytest.fixture
def log_runs(db: None) -> LogRuns:
    """`log_runs(org, runs)`: a settled job and its execution log for each, in this order."""

    def log(org: Organization, runs: Sequence[Run]) -> None:
        jobs = Job.objects.bulk_create([_job_of(org, run) for run in runs])
        ExecutionLog.objects.bulk_create([_log_of(job, run) for job, run in zip(jobs, runs, strict=True)])

    return log


def _job_of(org: Organization, run: Run) -> Job:
    flow, _ = Flow.objects.get_or_create(org=org, queue="default", type=run.job_type)
    return Job(
        org=org,
        flow=flow,
        name=run.job_name,
        type=run.job_type,
        lane=run.lane,
        payload={},
        rank=0.0,
        timeout_s=600,
        max_retries=0,
        status=states.DONE,
        finished_at=_moment(run.ended_at),
    )


def _log_of(job: Job, run: Run) -> ExecutionLog:
    return ExecutionLog(
        org_id=job.org_id,
        job=job,
        attempt=1,
        final=True,
        outcome=run.outcome,
        runtime_ms=run.runtime_ms,
        wait_ms=run.wait_ms,
        worker_id="w",
        job_type=run.job_type,
        job_name=run.job_name,
        lane=run.lane,
        logged_at=_moment(run.ended_at),
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
