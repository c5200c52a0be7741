"""Two organisations with rows of every kind. Whatever belongs to Globex says SECRET, or has a telling id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.test import Client

from jobs.models import ExecutionLog, Flow, Job, Limit
from orgs.models import AuditEntry, Organization, User

# Far from what the sequences give.
OWN_ID, FOREIGN_ID = 123_456, 987_654_321
TELLING = re.compile("SECRET|charlie|Globex|98765432[1-9]")


@dataclass
class World:
    """One organisation and a row of each kind that the admin knows."""

    org: Organization
    boss: User
    job: Job
    execution: ExecutionLog
    audited: AuditEntry
    limit: Limit

    def rows(self) -> list[Model]:
        return [self.org, self.boss, self.job, self.execution, self.audited, self.limit]


def make_world(org: Organization, boss: User, first_id: int, word: str) -> World:
    flow, _ = Flow.objects.get_or_create(org=org, queue="default", type="shell")
    job = Job.objects.create(
        flow=flow,
        id=first_id, org=org, user=boss, name=f"{word}-job", type="shell", payload={"command": f"echo {word}"},
        status="queued", rank=1.0, max_retries=0, timeout_s=1,
    )  # fmt: skip
    execution = ExecutionLog.objects.create(
        id=first_id, org=org, job=job, attempt=1, outcome="failed", runtime_ms=1, wait_ms=1,
        worker_id=word, error_msg=word, job_type="shell", job_name=job.name,
    )  # fmt: skip
    for row in (org, boss, job):
        kind = ContentType.objects.get_for_model(row)
        LogEntry.objects.create(
            user=boss, content_type=kind, object_id=row.pk, object_repr=f"{word}-entry", action_flag=CHANGE
        )
    audited = AuditEntry.objects.create(
        id=first_id,
        org=org,
        user=boss,
        actor=word,
        action=f"{word}.done",
        target=word,
        details={"what": word},
    )
    limit = Limit.objects.create(id=first_id, org=org, scope="queue", name=word, max_running=1)
    return World(org, boss, job, execution, audited, limit)


@pytest.fixture
def ours(acme: Organization, alice: User, bob: User) -> World:
    return make_world(acme, alice, OWN_ID, "ours")


@pytest.fixture
def theirs(db: None) -> World:
    org = Organization.objects.create(id=FOREIGN_ID, name="SECRET-Globex")
    boss = User.objects.create_user(
        id=FOREIGN_ID,
        username="charlie",
        email="SECRET@example.org",
        password="SECRET",
        role="org_admin",
        org=org,
    )
    return make_world(org, boss, FOREIGN_ID, "SECRET")


@pytest.fixture
def admin_of_ours(ours: World, theirs: World) -> Client:
    """The browser of Acme's org admin, while Globex has rows of its own."""
    browser = Client()
    browser.force_login(ours.boss)
    return browser


@pytest.fixture
def platform(root_admin: User, ours: World, theirs: World) -> Client:
    browser = Client()
    browser.force_login(root_admin)
    return browser


def leaks(answer: Any) -> set[str]:
    """What an answer tells of Globex, beside what the request itself named."""
    asked = answer.request["PATH_INFO"] + answer.request["QUERY_STRING"]
    text = answer.content.decode() + answer.headers.get("Location", "")
    return {word for word in TELLING.findall(text) if word not in asked}
