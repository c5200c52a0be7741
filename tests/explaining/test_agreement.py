"""What is said of jobs is what claims then do: `next` begins, and whatever is said to be held stays."""

from __future__ import annotations

import random

import pytest

from jobs import claims, control, explaining, leases
from jobs.limit_models import KEY, ORG, QUEUE, Gate, Limit
from jobs.models import Job, Worker
from orgs.models import Organization, User
from tests.explaining.conftest import Submit

pytestmark = pytest.mark.django_db

QUEUES, KEYS, LANES = ("a", "b", "c"), (None, "k", "l"), ("high", "normal", "low")
TYPES = {"python": {"function": "noop"}, "shell": {"command": "true"}, "http": {"url": "http://127.0.0.1/"}}
TAKES = ["python", "shell"]


def limited(org: Organization, draw: random.Random) -> None:
    for scope, name in ((ORG, ""), (QUEUE, "a"), (KEY, "k")):
        if draw.random() < 0.5:
            running, rate = draw.choice([(3, None), (None, 4), (2, 6)])
            period_s = 86_400 if rate else None
            Limit.objects.create(
                org=org, scope=scope, name=name, max_running=running, rate_count=rate, rate_period_s=period_s
            )
            Gate.objects.get_or_create(org=org, scope=scope, name=name)


def said(user: User) -> dict[int, str]:
    """The primary reason of every queued job."""
    queued = Job.objects.filter(org=user.org, status="queued")
    return {job.pk: explaining.explain(user, job).reason.code for job in queued}


def begin_next() -> claims.Claimed | None:
    return next(iter(claims.claim(worker_id="w1", types=TAKES, limit=1, lease_s=60)), None)


@pytest.mark.parametrize("seed", range(4))
def test_jobs_begin_as_it_was_said(
    acme: Organization, alice: User, bob: User, submit: Submit, worker: Worker, seed: int
) -> None:
    draw = random.Random(seed)
    limited(acme, draw)
    for _ in range(14):
        kind = draw.choice(list(TYPES))
        fields = {
            "queue": draw.choice(QUEUES),
            "lane": draw.choice(LANES),
            "concurrency_key": draw.choice(KEYS),
        }
        submit(bob, type=kind, payload=TYPES[kind], **fields)
    control.pause(user=alice, queue="c")
    begun: list[claims.Claimed] = []
    while True:
        codes = said(bob)
        job = begin_next()
        assert [pk for pk, code in codes.items() if code == "next"] == ([job.id] if job else [])
        if job is None and not begun:
            break
        if job is not None:
            begun.append(job)
        if job is None or draw.random() < 0.3:
            ended = begun.pop()
            done = claims.Finish(ended.id, ended.attempt, "done", runtime_ms=5.0)
            assert leases.finish(worker_id="w1", ended=[done])
    assert set(said(bob).values()) <= {"paused", "no_worker", "limit_rate"}
    assert Job.objects.filter(status="done").exists()
