"""Ended jobs go when their time is over, with all that was kept of them, and nothing else goes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from jobs import removal
from jobs.models import ExecutionLog, Job, JobEvent, LogLine
from orgs.models import Organization, User
from scheduler.duties.retention import Retention
from tests.jobs_api.conftest import claim, finish, write_lines


def ended(user: User, submit: Any, *, days_ago: float) -> Job:
    job = claim(submit(user))
    write_lines(job, 1, "line")
    finish(job)
    at = timezone.now() - timedelta(days=days_ago)
    Job.objects.filter(pk=job.pk).update(created_at=at, finished_at=at)
    return job


def left() -> set[int]:
    jobs = set(Job.objects.values_list("pk", flat=True))
    for model in (JobEvent, LogLine, ExecutionLog):
        assert set(model.objects.values_list("job_id", flat=True)) <= jobs
    return jobs


def test_each_organisation_has_its_own_time(
    bob: User, charlie: User, acme: Organization, submit: Any
) -> None:
    Organization.objects.filter(pk=acme.pk).update(retention_days=7)
    ended(bob, submit, days_ago=8)
    kept = [ended(bob, submit, days_ago=6), ended(charlie, submit, days_ago=800)]
    waiting = submit(bob, name="waiting")
    Job.objects.filter(pk=waiting.pk).update(created_at=timezone.now() - timedelta(days=30))
    assert Retention().run("test") == 1
    assert left() == {waiting.pk, *(job.pk for job in kept)}
    with override_settings(RETENTION_DAYS=100):
        assert Retention().run("test") == 1
    assert left() == {waiting.pk, kept[0].pk}


def test_in_bounded_steps(
    bob: User, acme: Organization, submit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scheduler.duties.retention.BATCH", 2)
    monkeypatch.setattr(removal, "MOST_JOBS", 1)
    Organization.objects.filter(pk=acme.pk).update(retention_days=1)
    jobs = [ended(bob, submit, days_ago=9) for _ in range(5)]
    duty, counts = Retention(), []
    while left():
        before = len(left())
        duty.run("test")
        counts.append(before - len(left()))
        assert len(counts) < 20
    assert max(counts) == 1
    assert sum(counts) == len(jobs)


def test_a_replay_outlives_its_origin(bob: User, acme: Organization, submit: Any) -> None:
    Organization.objects.filter(pk=acme.pk).update(retention_days=1)
    old = ended(bob, submit, days_ago=9)
    again = submit(bob)
    Job.objects.filter(pk=again.pk).update(replay_of=old)
    Retention().run("test")
    again.refresh_from_db()
    assert again.replay_of_id is None
