"""The duty that estimates starts: on by default, and sparing with the leader's time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs import claims
from jobs.eta_models import Eta, EtaScore
from jobs.models import Job, Worker
from orgs.models import User
from scheduler.duties import duties_of_a_term
from scheduler.duties.estimate import Estimate


@pytest.fixture
def job(bob: User, submit: Callable[..., Job]) -> Job:
    Worker.objects.create(
        worker_id="w1", hostname="h", pid=1, concurrency=1, types=["python"], last_seen=timezone.now()
    )
    job = submit(bob)
    Job.objects.filter(pk=job.pk).update(predicted_runtime_ms=1000, prediction_source="base")
    return job


def test_a_leader_estimates_and_scores(job: Job) -> None:
    [duty] = [duty for duty in duties_of_a_term() if duty.name == "estimate"]
    assert duty.every_s <= 2
    assert duty.run("leader:test") == 1
    assert Eta.objects.get().pk == job.pk
    claims.claim(worker_id="w1", types=["python"], limit=1, lease_s=30)
    assert Estimate().run("leader:test") == 1
    assert not Eta.objects.exists()
    assert EtaScore.objects.get().started == 1


def test_after_a_run_it_rests_ten_times_as_long(job: Job) -> None:
    duty = Estimate()
    duty.run("leader:test")
    with CaptureQueriesContext(connection) as queries:
        assert duty.run("leader:test") == 0
    assert not queries.captured_queries


def test_a_run_that_fails_rests_as_well(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    duty = Estimate()

    def fails() -> int:
        raise ValueError("on purpose")

    monkeypatch.setattr(duty._estimates, "refresh", fails)
    with pytest.raises(ValueError, match="on purpose"):
        duty.run("leader:test")
    assert duty.run("leader:test") == 0
