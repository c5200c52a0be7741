"""The state machine: what the chart says, the database and the statements hold to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from jobs import claims, leases, reclaims, states
from jobs.models import Flow, Job
from orgs.models import Organization

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_edge_joins_known_states() -> None:
    assert {status for edge in states.EDGES for status in edge} == set(states.STATUSES)


def test_nothing_follows_a_final_state() -> None:
    assert not [edge for edge in states.EDGES if edge[0] in states.FINAL]


def test_every_state_can_be_left_or_is_final() -> None:
    assert {old for old, _ in states.EDGES} == set(states.ACTIVE)


WRITES_STATUS = re.compile(
    r"\.status(?:,\s*\w+(?:\.\w+)+)*\s*=[^=]|UPDATE jobs_job\b"
    r"|update\((?:[^()]|\([^()]*\))*(?:\bstatus=|[\"']status[\"'])"
)
OWN_ROWS = {  # the status of workers and of bulk replays
    "jobs/replays.py",
    "scheduler/registry.py",
    "scheduler/duties/rescue_lost.py",
    "scheduler/duties/reclaim_expired.py",
}

OTHER_COLUMNS = {"jobs/gate_counts.py", "jobs/refreshing.py"}  # of jobs: the gates, and the rank


@pytest.mark.parametrize(
    "line",
    [
        "job.status = states.DONE",
        "job.status, job.run_at = states.DONE, now",
        'cursor.execute("UPDATE jobs_job SET status")',
        "Job.objects.filter(pk=1).update(finished_at=Now(), status=states.DONE)",
        "jobs.update(\n    worker_id='',\n    status=states.QUEUED,\n)",
        'Job.objects.bulk_update(jobs, ["status"])',
    ],
)
def test_a_write_of_a_status_is_recognised(line: str) -> None:
    assert WRITES_STATUS.search(line)


def test_no_other_file_writes_a_jobs_status() -> None:
    files = [
        path
        for app in ("jobs", "scheduler", "analytics", "predictor", "smartqueue", "orgs")
        for path in (ROOT / app).rglob("*.py")
        if "migrations" not in path.parts
    ]
    found = {
        str(path.relative_to(ROOT))
        for path in files
        if WRITES_STATUS.search(path.read_text(encoding="utf-8"))
    }
    assert found - OWN_ROWS - OTHER_COLUMNS == {
        "jobs/services.py",
        "jobs/submitting.py",
        "jobs/claim_sql.py",
        "jobs/leases.py",
        "jobs/reclaims.py",
    }


def test_the_statements_name_only_known_states() -> None:
    text = "\n".join((claims.CLAIM, leases.FINISH, reclaims.PROMOTE_DUE, reclaims.RECLAIM))
    written = leases.NEXT_STATUS + " ".join(
        re.findall(r"CASE((?:(?!CASE).)*?)END AS next_status", text, re.DOTALL)
    )
    named = set(re.findall(r"status = '(\w+)'", text)) | set(re.findall(r"(?:THEN|ELSE) '(\w+)'", written))
    assert named <= set(states.STATUSES)
    assert len(named) >= 6


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"status": "running"}, "job_running_has_worker_and_lease"),
        ({"status": "queued", "lease_expires_at": timezone.now()}, "job_running_has_worker_and_lease"),
        ({"status": "done"}, "job_final_has_finished_at"),
        ({"status": "queued", "finished_at": timezone.now()}, "job_final_has_finished_at"),
        ({"status": "sleeping"}, "job_status_known"),
        ({"type": "cobol"}, "job_type_known"),
        ({"lane": "express"}, "job_lane_known"),
        ({"priority": 1.5}, "job_priority_range"),
        ({"retry_count": 4}, "job_retry_count_range"),
    ],
)
def test_the_database_holds_the_invariants(
    acme: Organization, fields: dict[str, object], constraint: str
) -> None:
    values = {
        "name": "x",
        "type": "python",
        "payload": {},
        "status": "queued",
        "rank": 0.0,
        "max_retries": 3,
        "timeout_s": 1,
    }
    flow, _ = Flow.objects.get_or_create(org=acme, queue="default", type="python")
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Job.objects.create(org=acme, flow=flow, **(values | fields))
