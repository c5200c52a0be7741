"""Two organisations with rows of every kind. Whatever one of them owns says its word, or has a telling number.

`plant` makes one organisation; test_world.py fails for a model, or a column of text, that it forgets.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import BigAutoField, Model
from django.utils import timezone

from analytics.models import QueueSample
from jobs import states
from jobs.models import (
    Eta,
    EtaScore,
    ExecutionLog,
    Flow,
    Gate,
    Job,
    JobEvent,
    Limit,
    LogLine,
    Pause,
    Replay,
    Share,
    Worker,
)  # fmt: skip
from orgs import api_keys, roles, walls
from orgs.models import ApiKey, AuditEntry, Invitation, Organization, RefreshToken, User
from predictor.models import RunHistory, Trust

APPS = ("orgs", "jobs", "analytics", "predictor", "scheduler", "smartqueue")
SECRET_OF_KEY = "sq_{}_{}"
# Tables that no organisation owns, and that requests may write: sessions, counters, hints for workers.
WRITTEN_BY_ALL = {"django_session", "smartqueue_cache", "jobs_gateopening"}


@dataclass(frozen=True)
class Brand:
    """By what rows of an organisation are known: a word, ids from `first` on, and counts from `count` on."""

    word: str
    first: int
    count: int

    @property
    def telling(self) -> re.Pattern[str]:
        """Its word and the rest of the name, its ids and its counts, with commas or without; not within hex digits, as
        ids of requests are."""
        ids = rf"{str(self.first)[:3]}(?:,?\d{{3}}){{3}}"
        counts = rf"{str(self.count)[:3]},?{str(self.count)[3:6]},?\d{{3}}"
        number = rf"(?<![0-9a-f.,])(?:{ids}|{counts})(?![0-9a-f])"
        return re.compile(rf"{self.word}[-\w]*|{number}", re.IGNORECASE)


ACME = Brand("zqacme", 730_000_000_000, 731_731_000)
GLOBEX = Brand("zqglobex", 940_000_000_000, 941_941_000)


@dataclass
class World:
    """One organisation, its people, and one row of each kind by the name of the model."""

    brand: Brand
    org: Organization
    boss: User
    viewer: User
    key: str
    rows: dict[str, Model] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    _last: int = 0

    def text(self, kind: str) -> str:
        return f"{self.brand.word}-{kind}"

    def next_id(self) -> int:
        self._last += 1
        return self.brand.first + self._last

    def add(self, kind: type[Model], **fields: Any) -> Any:
        """A row with a telling id; the first of its kind is the one that walks name."""
        pk = {"pk": self.next_id()} if isinstance(kind._meta.pk, BigAutoField) else {}
        row = kind._default_manager.create(**pk, **fields)
        self.rows.setdefault(kind._meta.model_name or "", row)
        return row

    def id_of(self, model: str) -> Any:
        return self.rows[model].pk


def plant(brand: Brand) -> World:
    """An organisation with rows of every kind, among them jobs of every status."""
    world = _people(brand)
    _doors(world)
    flow = _queue(world)
    for status in states.MEANING:
        _job(world, flow, status)
    _beside_jobs(world)
    _numbers(world)
    _logs(world)
    return world


def plant_platform() -> None:
    """What belongs to nobody: everybody may see it, and nobody but a platform admin changes it."""
    alive = timezone.now() + timedelta(hours=1)  # however long the walks take
    Worker.objects.create(worker_id="worker-1", hostname="host-1", pid=1, concurrency=1, last_seen=alive)
    Pause.objects.create(org=None, queue="held-by-the-platform", reason="platform")
    Trust.objects.create(org=None, job_type="", errors=[], low=1, high=1, runs=1)


def _people(brand: Brand) -> World:
    org = Organization.objects.create(id=brand.first, name=f"{brand.word}-org", viewers_see_content=True)
    boss, viewer = (
        User.objects.create(
            id=brand.first + number,
            username=f"{brand.word}-{name}",
            email=f"{brand.word}-{name}@example.org",
            first_name=f"{brand.word}-first",
            last_name=f"{brand.word}-last",
            password=f"md5${brand.word}$unusable",
            role=role,
            org=org,
        )
        for number, (name, role) in enumerate([("boss", roles.ORG_ADMIN), ("viewer", roles.VIEWER)], 1)
    )
    world = World(brand, org, boss, viewer, SECRET_OF_KEY.format(brand.word[:8].ljust(8, "0"), "k" * 43))
    world._last = 10
    world.rows |= {"organization": org, "user": boss}
    return world


def _doors(world: World) -> None:
    soon = timezone.now() + timedelta(days=1)
    world.add(
        ApiKey, org=world.org, user=world.boss, name=world.text("keyname"), prefix=world.text("prefix"),
        secret_hash=api_keys.hash_of(world.key), scopes=list(roles.SCOPES),
    )  # fmt: skip
    world.add(
        Invitation, org=world.org, note=world.text("invited"), secret_hash=world.text("invitation-hash"),
        created_by=world.boss, expires_at=soon,
    )  # fmt: skip
    world.add(
        RefreshToken,
        user=world.boss,
        family=uuid.uuid4(),
        secret_hash=world.text("refresh-hash"),
        expires_at=soon,
    )


def _queue(world: World) -> Flow:
    name, key = world.text("queue"), world.text("key")
    flow: Flow = world.add(Flow, org=world.org, queue=name, type="shell", key=key)
    world.rows["queue"] = flow
    for scope, limited in (("queue", name), ("key", key), ("org", "")):
        world.add(Limit, org=world.org, scope=scope, name=limited, max_running=world.brand.count)
        world.add(Gate, org=world.org, scope=scope, name=limited, running=world.brand.count + 1)
    world.add(
        Pause, org=world.org, queue=name, type="shell", reason=world.text("reason"), created_by=world.boss
    )
    world.add(
        Replay, org=world.org, user=world.boss, filter={"name": world.text("filter")}, rate_per_s=0.5,
        up_to_job_id=world.brand.first, replayed=world.brand.count + 2,
    )  # fmt: skip
    return flow


def _job(world: World, flow: Flow, status: str) -> None:
    now, say = timezone.now(), world.text
    ended, runs = status in {"done", "failed", "cancelled"}, status == "running"
    job = world.add(
        Job, org=world.org, user=world.boss, flow=flow, queue=flow.queue, name=say(f"job-{status}"), type="shell",
        payload={say("payload-key"): say("payload")}, status=status, rank=1.0, max_retries=3, timeout_s=60,
        attempt=0 if status in {"queued", "scheduled", "blocked"} else 1, tags=[say("tag")],
        concurrency_key=say("key"), idempotency_key=say(f"idempotency-{status}"), error_msg=say("error"),
        request_hash=say("hash"), predicted_runtime_ms=world.brand.count + 3, prediction_source="history",
        predicted_low_ms=1, predicted_high_ms=2, result={"said": say("result")} if ended else None,
        worker_id="worker-1" if runs or ended else None, started_at=now if runs or ended else None,
        finished_at=now if ended else None, lease_expires_at=now + timedelta(hours=1) if runs else None,
        queued_at=now, replay_of=world.jobs.get("queued"), retry_policy={"said": say("policy")},
    )  # fmt: skip
    world.jobs[status] = job
    world.add(
        JobEvent,
        org=world.org,
        job=job,
        new_status=status,
        old_status="queued",
        reason=say("event"),
        actor=say("actor"),
    )
    world.add(LogLine, org=world.org, job=job, attempt=1, seq=1, stream="stdout", text=say("line"))
    if ended:
        world.add(
            ExecutionLog, org=world.org, job=job, attempt=1, final=True, runtime_ms=world.brand.count + 4, wait_ms=1,
            outcome=status, worker_id="worker-1", error_msg=say("attempt-error"), job_type="shell", job_name=job.name,
            predicted_runtime_ms=1.0, predicted_low_ms=0.5, predicted_high_ms=2.0,
        )  # fmt: skip


def _beside_jobs(world: World) -> None:
    at = timezone.now()
    times = ("as_of", "start_at", "start_low_at", "start_high_at", "finish_at", "finish_low_at", "finish_high_at",
             "first_at", "first_low_at", "first_high_at")  # fmt: skip
    job = world.jobs["queued"]
    world.add(
        Eta, job_id=job.pk, org=world.org, flow_id=job.flow_id, rank=1.0, first_raw=[1.0, 2.0, 3.0],
        **{name: at + timedelta(minutes=5) for name in times},
    )  # fmt: skip
    # The admin's names for some of them.
    world.rows |= {"job": job, "deadletter": world.jobs["failed"]}


def _numbers(world: World) -> None:
    org, count = world.org, world.brand.count
    world.add(EtaScore, org=org, day=timezone.now().date(), started=count + 5, inside=count + 5)
    world.add(Share, org=org, charged_s=count + 6, recent_s=count + 6, lead_s=0)
    world.add(QueueSample, org=org, taken_at=timezone.now(), queued=count + 7, running=count + 8, scheduled=0)
    world.add(
        RunHistory,
        org=org,
        job_type="shell",
        job_name=world.text("history"),
        user_id=world.boss.pk,
        runs=[1.0],
        count=count,
    )
    world.add(Trust, org=org, job_type="shell", errors=[0.5], low=1, high=1, runs=count)


def _logs(world: World) -> None:
    world.add(
        AuditEntry, org=world.org, user=world.boss, actor=world.boss.username, action="job.cancel",
        target=world.text("target"), details={"from": world.text("detail")}, ip="192.0.2.1",
        request_id=world.text("request"),
    )  # fmt: skip
    for row in (world.org, world.boss, world.jobs["queued"]):
        world.add(
            LogEntry, user=world.boss, content_type=ContentType.objects.get_for_model(row), object_id=row.pk,
            object_repr=world.text("entry"), action_flag=CHANGE, change_message=world.text("message"),
        )  # fmt: skip


def tenant_models() -> Iterator[tuple[type[Model], str]]:
    """Each model whose rows an organisation owns, and the condition on `t` by which those of %(org)s are found."""
    # Its people have the ids behind its own, also when they have left.
    people = "org_id = %(org)s OR id BETWEEN %(org)s AND %(org)s + 10"
    through = f"t.{{}} IN (SELECT id FROM orgs_user WHERE {people})"
    for model in apps.get_models(include_auto_created=True):
        columns = {column.column for column in model._meta.concrete_fields}
        if model._meta.proxy:
            continue
        if model is Organization:
            yield model, "t.id = %(org)s"
        elif model is User:
            yield model, people
        elif "org_id" in columns:
            yield model, "t.org_id = %(org)s"
        elif users := [
            column.column
            for column in model._meta.concrete_fields
            if column.remote_field and column.remote_field.model is User
        ]:
            yield model, through.format(users[0])


def fingerprint(org_id: int) -> dict[str, str]:
    """A checksum of each table without the rows of `org_id`: what its people must not change."""
    owned = {model._meta.db_table: condition for model, condition in tenant_models()}
    with connection.cursor() as cursor:
        cursor.execute(_checksums(owned), {"org": org_id})
        return dict(cursor.fetchall())


def _checksums(owned: dict[str, str]) -> str:
    tables = sorted(set(connection.introspection.table_names()) - WRITTEN_BY_ALL)
    parts = [
        f"SELECT '{table}', md5(coalesce(string_agg(md5(t::text), '' ORDER BY t::text), '')) FROM {table} t "
        f"WHERE ({owned.get(table, 'false')}) IS NOT TRUE"
        for table in tables
    ]
    return " UNION ALL ".join(parts)


@contextmanager
def reaching(*org_ids: int) -> Iterator[None]:
    """As a request of these organisations does: every statement within is held by the wall."""
    with walls.request(), walls.only(*org_ids):
        yield
