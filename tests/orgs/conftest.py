"""Two organisations with rows of every kind. Whatever belongs to Globex says SECRET, or has a telling id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from jobs.models import DeadLetter, ExecutionLog, Flow, Job, Limit, Queue
from orgs.models import ApiKey, AuditEntry, Invitation, Organization, User

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
    others: list[Model]

    def rows(self) -> list[Model]:
        return [self.org, self.boss, self.job, self.execution, self.audited, self.limit, *self.others]


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
    return World(org, boss, job, execution, audited, limit, [])


def more_rows(world: World, word: str) -> list[Model]:
    """A row of each kind that only the walk through the whole site needs."""
    org, boss, flow, first_id = world.org, world.boss, world.job.flow, world.job.pk
    soon = timezone.now() + timedelta(days=1)
    queue = Flow.objects.create(id=first_id, org=org, queue=f"{word}-queue", type="shell")
    dead = DeadLetter.objects.create(
        flow=flow,
        id=first_id + 1, org=org, user=boss, name=f"{word}-dead", type="shell", payload={"command": word},
        status="failed", rank=1.0, max_retries=0, timeout_s=1, error_msg=word, tags=[word], queue=queue.queue,
        finished_at=timezone.now(),
    )  # fmt: skip
    key = ApiKey.objects.create(
        id=first_id,
        org=org,
        user=boss,
        name=word,
        prefix=word,
        secret_hash=f"{word}-hash",
        scopes=["jobs:read"],
    )
    invitation = Invitation.objects.create(
        id=first_id, org=org, note=word, secret_hash=f"{word}-hash", created_by=boss, expires_at=soon
    )
    return [Queue.objects.get(pk=queue.pk), dead, key, invitation]


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
