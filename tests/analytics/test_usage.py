"""What the usage page of the admin shows: days, busiest names, and nothing of other organisations."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from analytics import usage as module
from analytics.usage import DAYS, usage
from jobs.models import ExecutionLog
from orgs.models import Organization, User


def log(
    org: Organization,
    name: str,
    *,
    outcome: str = "done",
    final: bool = True,
    days_ago: float = 0,
    ms: float = 1500,
) -> None:
    number = ExecutionLog.objects.count() + 1
    ExecutionLog.objects.create(
        org=org, job_id=number, attempt=1, outcome=outcome, final=final, runtime_ms=ms, wait_ms=1, worker_id="w",
        job_type="python", job_name=name, logged_at=timezone.now() - timedelta(days=days_ago),
    )  # fmt: skip


@pytest.fixture
def history(acme: Organization, globex: Organization) -> None:
    log(acme, "nightly", ms=4000)
    log(acme, "nightly", outcome="failed")
    log(acme, "hourly", outcome="failed", final=False)
    log(acme, "hourly", days_ago=3)
    log(acme, "ancient", days_ago=DAYS + 1)
    log(globex, "globex-secret", ms=90_000)


def test_days_and_names_of_the_own_organisation(alice: User, history: None) -> None:
    found = usage(alice)
    assert len(found.days) == DAYS
    today = found.days[-1]
    assert (today.done, today.failed, today.retried, today.worker_s) == (1, 1, 1, 7.0)
    assert found.days[-4].done == 1
    assert [(one.name, one.attempts, one.failed, one.worker_s) for one in found.names] == [
        ("nightly", 2, 1, 5.5),
        ("hourly", 2, 0, 3.0),
    ]
    assert (found.orgs, found.since) == ([], None)


def test_a_platform_admin_sees_which_organisations_are_busy(
    root_admin: User, acme: Organization, history: None
) -> None:
    assert [one.name for one in usage(root_admin).orgs] == ["Globex", "Acme"]
    root_admin.seen_as_org_id = acme.pk
    found = usage(root_admin)
    assert found.orgs == []
    assert "globex-secret" not in [one.name for one in found.names]


def test_reading_stops(alice: User, history: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_READ", 2)
    found = usage(alice)
    assert sum(day.done + day.failed + day.retried for day in found.days) == 1
    assert found.since is not None


def test_the_page(client: Client, alice: User, vera: User, history: None) -> None:
    client.force_login(alice)
    page: Any = client.get("/admin/usage/").content.decode()
    assert "nightly" in page
    assert 'id="sq-usage"' in page
    assert "globex" not in page.lower()
    client.force_login(vera)
    assert client.get("/admin/usage/").status_code == 302


def test_without_attempts_there_is_a_sentence(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert "No attempt of a job has ended in these days." in client.get("/admin/usage/").content.decode()
