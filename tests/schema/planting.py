"""Two organisations with a row of everything: Near, whose members ask, and Far, of which they may learn nothing.

Every text of Far begins with FAR and its ids are numbers that occur nowhere else, so both can be looked for in answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from jobs import control, limits, replays, services
from jobs.models import EtaScore, ExecutionLog, Job, JobEvent, LogLine, Pause, Replay, Share, Worker
from orgs import api_keys, invitations, refresh, roles
from orgs.models import ApiKey, Invitation, Organization, User
from predictor.models import RunHistory
from tests.conftest import make_user

NEAR, FAR = "nearby", "faraway"
FIRST_FAR_ID = 700_000_000_000
FAR_TEXT = re.compile(rf"{FAR}[\w.-]*", re.IGNORECASE)
FAR_ID = re.compile(r"(?<!\d)7\d{11}(?!\d)")
ROLES = (roles.ORG_ADMIN, roles.USER, roles.VIEWER)
WORKER = "worker-of-the-platform"


@dataclass(frozen=True)
class Side:
    """One organisation, and what a request can name of it: by parameter or field, the values."""

    org: Organization
    people: dict[str, User]
    key: str
    names: dict[str, list[Any]] = field(default_factory=dict)


@contextmanager
def far_ids() -> Iterator[None]:
    """Rows made within get ids from FIRST_FAR_ID on, a million of them for each table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sequencename, data_type::text FROM pg_sequences WHERE schemaname = current_schema()"
        )
        names = [name for name, kind in cursor.fetchall() if kind == "bigint"]
        cursor.execute("SELECT " + ", ".join(f"nextval('{name}')" for name in names))
        before = dict(zip(names, cursor.fetchone(), strict=True))
        _set({name: FIRST_FAR_ID + place * 1_000_000 for place, name in enumerate(names)})
        yield
        _set(before)


def plant(word: str) -> Side:
    """An organisation whose every text begins with `word`: its people, jobs of each kind, and all around them."""
    org = Organization.objects.create(name=f"{word}-org")
    people = {role: make_user(f"{word}-{role}", role, org) for role in ROLES}
    head = people[roles.ORG_ADMIN]
    jobs = [_job(people[roles.USER], word, place) for place in range(6)]
    _end(jobs[1], word, "done", result={"text": f"{word}-result"})
    _end(jobs[2], word, "failed", error_msg=f"{word}-error")
    _run(jobs[3], word)
    key = _around(org, head, word)
    side = Side(org, people, key)
    side.names.update(_names(side, word))
    return side


def _set(values: dict[str, int]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"setval('{name}', {value})" for name, value in values.items()))


def _job(user: User, word: str, place: int) -> Job:
    assert user.org is not None
    job = services.submit(
        org=user.org,
        user=user,
        name=f"{word}-job",
        type="shell",
        payload={"command": f"echo {word}-payload"},
        queue=f"{word}-queue",
        tags=[f"{word}-tag"],
        concurrency_key=f"{word}-concurrency",
        idempotency_key=f"{word}-idempotency-{place}",
    )
    LogLine.objects.create(org=job.org, job=job, attempt=1, seq=1, stream="stdout", text=f"{word}-output")
    JobEvent.objects.create(
        org=job.org, job=job, new_status="queued", reason=f"{word}-reason", actor=f"{word}-actor"
    )
    return job


def _end(job: Job, word: str, outcome: str, **values: Any) -> None:
    Job.objects.filter(pk=job.pk).update(status=outcome, finished_at=timezone.now(), attempt=1, **values)
    ExecutionLog.objects.create(
        org=job.org, job=job, attempt=1, outcome=outcome, final=True, runtime_ms=5.0, wait_ms=2.0,
        predicted_runtime_ms=4.0, worker_id=WORKER, error_msg=f"{word}-error", job_type=job.type, job_name=job.name,
    )  # fmt: skip


def _run(job: Job, word: str) -> None:
    now = timezone.now()
    lease = now + timedelta(hours=1)
    Job.objects.filter(pk=job.pk).update(
        status="running", started_at=now, lease_expires_at=lease, worker_id=WORKER, attempt=1
    )


def _around(org: Organization, head: User, word: str) -> str:
    """What is not of one job. The answer is an API key of `head` with every scope."""
    control.pause(user=head, queue=f"{word}-queue", reason=f"{word}-reason")
    for scope, name in (("org", ""), ("queue", f"{word}-queue"), ("key", f"{word}-concurrency")):
        limits.set_limit(user=head, org=org, scope=scope, name=name, max_running=3)
    replays.start(org=org, user=head, wanted=replays.ReplayFilter(name=f"{word}-job"))
    invitations.invite(actor=head, note=f"{word}-note")
    refresh.log_in(head)
    EtaScore.objects.create(org=org, day=timezone.now().date(), started=4, inside=3)
    Share.objects.create(org=org, charged_s=8.0, recent_s=4.0)
    RunHistory.objects.create(org=org, job_type="shell", job_name=f"{word}-job", user_id=0, runs=[], count=0)
    return api_keys.create(user=head, name=f"{word}-key", scopes=api_keys.scopes_for(head))[1]


def _names(side: Side, word: str) -> dict[str, list[Any]]:
    def ids(model: Any) -> list[Any]:
        return list(model.objects.filter(org=side.org).order_by("pk").values_list("pk", flat=True))

    jobs = ids(Job)
    return {
        "job_id": jobs,
        "replay_id": ids(Replay),
        "pause_id": ids(Pause),
        "key_id": ids(ApiKey),
        "invitation_id": ids(Invitation),
        "user_id": [user.pk for user in side.people.values()],
        "username": [user.username for user in side.people.values()],
        "user": [user.username for user in side.people.values()],
        "org_id": [side.org.pk],
        "org": [side.org.pk],
        "worker_id": [WORKER],
        "queue": [f"{word}-queue"],
        "name": [f"{word}-concurrency", f"{word}-job", f"{word}-org"],
        "tag": [f"{word}-tag"],
        "Idempotency-Key": [f"{word}-idempotency-0"],
    }


def plant_platform() -> User:
    """A worker that serves everybody, and the platform admin, whose name is not for members either."""
    Worker.objects.create(worker_id=WORKER, hostname="host", pid=1, concurrency=2, types=["shell"])
    return make_user(f"{FAR}-root", roles.ADMIN, None)
