from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.conf import settings

from jobs import states
from jobs.models import ExecutionLog, Flow, Job
from orgs.models import Organization
from predictor import keeping
from predictor.apps import PredictorConfig
from predictor.history import Run
from predictor.models import ModelVersion

LogRuns = Callable[[Organization, Sequence[Run]], None]


@pytest.fixture(autouse=True)
def _forgiven() -> Iterator[None]:
    """Failures that a test provokes count for no other: five in a row would open the breaker for a minute."""
    yield
    PredictorConfig.register()


@pytest.fixture
def cold_start(db: None) -> ModelVersion:
    """The cold start in force, whatever an earlier test has left."""
    version, _ = ModelVersion.objects.get_or_create(kind=ModelVersion.COLD_START)
    ModelVersion.objects.exclude(pk=version.pk).update(active=False)
    ModelVersion.objects.filter(pk=version.pk).update(active=True)
    return version


@pytest.fixture
def log_runs(db: None) -> LogRuns:
    """`log_runs(org, runs)`: a settled job and its execution log for each, in this order, and the windows that
    workers would have kept of them."""

    def log(org: Organization, runs: Sequence[Run]) -> None:
        jobs = Job.objects.bulk_create([_job_of(org, run) for run in runs])
        ExecutionLog.objects.bulk_create([_log_of(job, run) for job, run in zip(jobs, runs, strict=True)])
        keeping.fill([replace(run, ask=replace(run.ask, org_id=org.pk)) for run in runs])

    return log


def _job_of(org: Organization, run: Run) -> Job:
    ask = run.ask
    flow, _ = Flow.objects.get_or_create(org=org, queue="default", type=ask.job_type)
    return Job(
        org=org,
        user_id=ask.user_id or None,
        flow=flow,
        name=ask.job_name,
        type=ask.job_type,
        lane=ask.lane,
        payload={"function": "noop"},
        rank=0.0,
        timeout_s=ask.timeout_s or settings.JOB_TIMEOUT_S,
        max_retries=0,
        status=states.DONE,
        created_at=_moment(ask.at),
        finished_at=_moment(run.ended_at),
    )


def _log_of(job: Job, run: Run) -> ExecutionLog:
    return ExecutionLog(
        org_id=job.org_id,
        job=job,
        attempt=run.ask.attempt,
        final=True,
        outcome=run.outcome,
        runtime_ms=run.runtime_ms,
        wait_ms=max((run.ended_at - run.ask.at) * 1000 - run.runtime_ms, 0.0),
        worker_id="w",
        job_type=job.type,
        job_name=job.name,
        lane=job.lane,
        logged_at=_moment(run.ended_at),
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
