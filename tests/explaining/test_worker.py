"""A real worker with one slot, and shares that it told: what is said of the jobs that wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs import explaining
from jobs.models import Job, Worker
from orgs.models import User
from tests.explaining.conftest import Submit
from tests.processes import Processes, processes
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

LONG: dict[str, Any] = {"type": "shell", "payload": {"command": "sleep 300"}}
SHORT: dict[str, Any] = {"type": "shell", "payload": {"command": "true"}}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Processes]:
    with processes(tmp_path, SMARTQUEUE_HEARTBEAT_S="0.3") as made:
        yield made


def comes_to(user: User, job: Job, code: str) -> dict[str, Any]:
    """The facts of the primary reason, once it is this one."""
    last = ""

    def is_it() -> dict[str, Any] | None:
        nonlocal last
        reason = explaining.explain(user, Job.objects.get(pk=job.pk)).reason
        last = reason.code
        return reason.facts if last == code else None

    found = wait_until(is_it, 60, f"{code} is said of job {job.pk}")
    assert found is not None, last
    return found


def test_a_job_on_its_way_through_a_busy_worker(
    platform: Processes, bob: User, charlie: User, submit: Submit
) -> None:
    long = submit(bob, **LONG)
    assert explaining.explain(bob, long).reason.code == "no_worker"
    worker = platform.start("runworker", "--concurrency", "1", "--grace", "0")
    comes_to(bob, long, "running")
    theirs, ours = submit(charlie, **SHORT), submit(bob, **SHORT)
    assert comes_to(charlie, theirs, "workers_busy")["slots"] == 1
    facts = comes_to(bob, ours, "share_used")
    assert facts["other_organisations"] == 1
    assert facts["lead_s"] > 0
    platform.stop(worker)
    assert comes_to(charlie, theirs, "no_worker")["missing"] == "all"
    assert Worker.objects.get().status == "stopped"
