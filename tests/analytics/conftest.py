"""Execution logs and samples with times of their own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analytics import shared
from jobs.models import ExecutionLog, Job
from orgs.models import User

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def log(submit: Callable[..., Job]) -> Callable[..., ExecutionLog]:
    """`log(user, hours_ago=..., ...)`: an ended attempt of a job of its own, `hours_ago` before NOW."""

    def write(user: User, *, hours_ago: float = 0.0, now: datetime = NOW, **values: Any) -> ExecutionLog:
        job = submit(user)
        fields: dict[str, Any] = {
            "attempt": 1, "outcome": "done", "final": True, "runtime_ms": 100.0, "wait_ms": 10.0,
            "predicted_runtime_ms": 100.0, "worker_id": "w", "job_type": job.type, "job_name": job.name,
        }  # fmt: skip
        logged_at = now - timedelta(hours=hours_ago)
        return ExecutionLog.objects.create(org=job.org, job=job, logged_at=logged_at, **{**fields, **values})

    return write


@pytest.fixture(autouse=True)
def _nothing_shared() -> None:
    """Numbers that an earlier test loaded are not shown in the next."""
    shared.clear()
