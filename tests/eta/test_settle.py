"""What becomes of first estimates: scored when their jobs start, learned from, and removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from jobs import claims, control, eta_store, leases, services
from jobs.eta_models import Eta, EtaCorrection, EtaScore
from jobs.eta_store import Estimates
from jobs.models import Job, Worker
from orgs.models import User

Waiting = Callable[..., Job]
TODAY = timezone.now().astimezone(UTC).date()


@pytest.fixture
def estimated(worker: Worker, waiting: Waiting) -> Callable[..., Job]:
    """A waiting job that was said, `ago` seconds ago, to start from `low` to `high` seconds later."""

    def made(user: User, low: float, high: float, *, ago: float = 10.0) -> Job:
        job = waiting(user)
        Estimates().refresh()
        first_at = timezone.now() - timedelta(seconds=ago)
        Eta.objects.filter(pk=job.pk).update(
            first_at=first_at,
            first_low_at=first_at + timedelta(seconds=low),
            first_high_at=first_at + timedelta(seconds=high),
            first_raw=[low, (low + high) / 2, high],
        )
        return job

    return made


def start(limit: int = 10) -> list[claims.Claimed]:
    return claims.claim(worker_id="w1", types=["python"], limit=limit, lease_s=60)


def test_starts_are_scored_by_organisation_and_day(bob: User, charlie: User, estimated: Waiting) -> None:
    for user, low, high in ((bob, 5, 20), (bob, 1, 5), (bob, 30, 60), (charlie, 5, 20)):
        estimated(user, low, high)
    assert Estimates().settle() == 0
    start()
    assert Estimates().settle() == 4
    assert not Eta.objects.exists()
    scores = {score.org_id: (score.day, score.started, score.inside) for score in EtaScore.objects.all()}
    assert scores == {bob.org_id: (TODAY, 3, 1), charlie.org_id: (TODAY, 1, 1)}
    estimated(bob, 5, 20)
    start()
    Estimates().settle()
    assert EtaScore.objects.get(org=bob.org_id).started == 4


def test_the_correction_is_learned_from_starts(bob: User, estimated: Waiting) -> None:
    before = eta_store.shifts()
    for _ in range(30):
        estimated(bob, 1.4, 1.6)
    start(30)
    Estimates().settle()
    assert EtaScore.objects.get().started == 30
    kept = EtaCorrection.objects.get()
    assert (kept.bucket, kept.seen, len(kept.middle)) == (1, 10, 10)
    after = eta_store.shifts()
    assert after[1].middle > before[1].middle + 0.5
    assert kept.high_miss < 0.1 < kept.low_miss
    assert [after[place] for place in (0, 2, 3, 4, 5)] == [before[place] for place in (0, 2, 3, 4, 5)]


def test_who_never_starts_is_forgotten_without_a_score(bob: User, estimated: Waiting) -> None:
    cancelled, deleted = estimated(bob, 5, 20), estimated(bob, 5, 20)
    services.cancel(job=cancelled, user=bob)
    Job.objects.filter(pk=deleted.pk).delete()
    assert Estimates().settle() == 2
    assert not EtaScore.objects.exists()


def test_a_pause_is_nobodys_mistake(alice: User, estimated: Waiting) -> None:
    estimated(alice, 1, 2)
    control.pause(user=alice)
    assert Estimates().settle() == 1
    assert not EtaScore.objects.exists()


def test_a_job_that_was_handed_back_waits_anew(bob: User, estimated: Waiting) -> None:
    job = estimated(bob, 5, 20)
    [claimed] = start()
    leases.finish(worker_id="w1", ended=[claims.Finish(claimed.id, claimed.attempt, "released")])
    job.refresh_from_db()
    assert job.status == "queued"
    estimates = Estimates()
    estimates.settle()
    assert EtaScore.objects.get().started == 1
    estimates.refresh()
    assert Eta.objects.get(pk=job.pk).first_at > timezone.now() - timedelta(seconds=5)


def test_rounds_go_through_all_rows_bit_by_bit(
    bob: User, estimated: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eta_store, "MOST_SETTLED", 3)
    for _ in range(8):
        estimated(bob, 5, 20)
    start(8)
    estimates = Estimates()
    assert [estimates.settle() for _ in range(4)] == [3, 3, 2, 0]


def test_there_are_never_many_more_rows_than_are_useful(
    bob: User, estimated: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eta_store, "MOST_SETTLED", 3)
    monkeypatch.setattr(eta_store, "MOST_ROWS", 5)
    for _ in range(8):
        estimated(bob, 5, 20)
    estimates = Estimates()
    for _ in range(6):
        estimates.settle()
    assert Eta.objects.count() == 5


def test_old_scores_go_once_a_day(bob: User) -> None:
    old = TODAY - eta_store.KEEP - timedelta(days=1)
    for day in (old, TODAY):
        EtaScore.objects.create(org_id=bob.org_id, day=day, started=1, inside=1)
    estimates = Estimates()
    assert estimates.prune(TODAY) == 1
    EtaScore.objects.create(org_id=bob.org_id, day=old, started=1, inside=1)
    assert estimates.prune(TODAY) == 0
    assert estimates.prune(TODAY + timedelta(days=1)) == 1


def test_a_new_estimate_is_written_beside_the_old_one(db: None) -> None:
    """No index on what changes: dead rows go without a vacuum."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'jobs_eta'")
        [[definition]] = cursor.fetchall()
    assert definition.endswith("(job_id)")
