"""Lists of the admin: as many statements for a hundred rows as for one, and no counting of millions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from jobs.models import DeadLetter, ExecutionLog, Flow, Job, Limit, Queue, SchedulerLeader, Worker
from orgs.admin_base import CappedPaginator
from orgs.admin_site import site
from orgs.models import ApiKey, AuditEntry, Invitation, Organization, User
from predictor.models import ModelVersion
from tests.orgs.conftest import World

MANY = 98


def _jobs(world: World, status: str) -> None:
    ended = timezone.now() if status == "failed" else None
    Job.objects.bulk_create(
        Job(
            flow=world.job.flow, org=world.org, user=world.boss, name=f"n{number}", type="shell", payload={}, rank=1.0,
            status=status, max_retries=0, timeout_s=1, finished_at=ended, attempt=1,
        )
        for number in range(MANY)
    )  # fmt: skip


def _logs(world: World) -> None:
    ExecutionLog.objects.bulk_create(
        ExecutionLog(
            org=world.org, job=world.job, attempt=number + 2, outcome="failed", runtime_ms=1, wait_ms=1, worker_id="w",
            job_type="shell", job_name="n",
        )
        for number in range(MANY)
    )  # fmt: skip


def _invitations(world: World) -> None:
    soon = timezone.now() + timedelta(days=1)
    Invitation.objects.bulk_create(
        Invitation(
            org=world.org,
            secret_hash=f"h{number}",
            created_by=world.boss,
            accepted_by=world.boss,
            expires_at=soon,
        )
        for number in range(MANY)
    )


def _many(model: type[Model], **values: Callable[[int], Any]) -> Callable[[World], None]:
    def make(world: World) -> None:
        known: dict[str, Any] = {"org": world.org, "user": world.boss}
        fields = {
            name: value for name, value in known.items() if name in {f.name for f in model._meta.fields}
        }
        rows = [model(**fields, **{name: value(n) for name, value in values.items()}) for n in range(MANY)]
        model._default_manager.bulk_create(rows)

    return make


FILLED: dict[type[Model], Callable[[World], None]] = {
    Organization: _many(Organization, name=lambda n: f"o{n}"),
    User: _many(User, username=lambda n: f"u{n}"),
    AuditEntry: lambda world: [
        AuditEntry.objects.create(org=world.org, user=world.boss, action="a") for _ in range(MANY)
    ],
    ApiKey: _many(
        ApiKey, name=str, prefix=str, secret_hash=lambda n: f"h{n}", scopes=lambda n: ["jobs:read"]
    ),
    Invitation: _invitations,
    Job: lambda world: _jobs(world, "queued"),
    DeadLetter: lambda world: _jobs(world, "failed"),
    Queue: _many(Flow, queue=lambda n: f"q{n}", type=lambda n: "shell"),
    ExecutionLog: _logs,
    Limit: _many(Limit, scope=lambda n: "queue", name=str, max_running=int),
    Worker: _many(Worker, worker_id=str, hostname=str, pid=int, concurrency=int),
}  # type: ignore[dict-item]
OF_ONE_ROW = {SchedulerLeader}
BY_ITSELF = {ModelVersion}  # tests/predictor has what its rows need


def statements(browser: Client, model: type[Model]) -> int:
    with CaptureQueriesContext(connection) as captured:
        answer = browser.get(reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"))
    assert answer.status_code == 200
    return len(captured)


def test_every_list_is_measured() -> None:
    assert set(site._registry) == {*FILLED, *OF_ONE_ROW, *BY_ITSELF}


@pytest.mark.parametrize("model", FILLED, ids=lambda model: model._meta.model_name)
def test_a_hundred_rows_take_no_more_statements(platform: Client, ours: World, model: type[Model]) -> None:
    if model is Queue:
        Flow.objects.create(org=ours.org, queue="first", type="shell")
    before = statements(platform, model)
    FILLED[model](ours)
    after = statements(platform, model)
    assert after <= before + 2
    assert after < 20


def test_counting_stops(ours: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orgs.admin_base.MOST_COUNTED", 10)
    _jobs(ours, "queued")
    with CaptureQueriesContext(connection) as captured:
        assert CappedPaginator(Job.objects.order_by("-id"), 5).count == 10
    assert "LIMIT 10" in captured[0]["sql"]


def test_other_filters_look_at_the_newest_jobs_only(
    admin_of_ours: Client, ours: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.admin.jobs.REACH", 3)
    _jobs(ours, "queued")
    pages = {
        query: admin_of_ours.get(f"/admin/jobs/job/?{query}") for query in ("", "lane__exact=normal", "q=n")
    }
    found = {query: page.context_data["cl"].result_count for query, page in pages.items()}  # type: ignore[attr-defined]
    assert found == {"": MANY + 1, "lane__exact=normal": 3, "q=n": 2}, "one of the three has another name"
