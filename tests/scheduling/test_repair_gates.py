"""The leader counts again what gates count: drift in both directions, claims beside it, and old openings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from jobs import gate_counts, limits
from jobs.models import Gate, GateOpening, Job
from orgs.models import User
from scheduler.duties import duties_of_a_term, forget_openings
from scheduler.duties.repair_gates import RepairGates
from tests.queue.claiming import InThread, claim, end
from tests.queue.submitting import many

LONG_AGO = -1e9

Submit = Callable[..., Job]


@pytest.fixture
def gate(alice: User) -> Gate:
    assert alice.org is not None
    limits.set_limit(user=alice, org=alice.org, scope="org", max_running=3)
    GateOpening.objects.all().delete()
    return Gate.objects.get()


def repair(began: float | None = None) -> int:
    with transaction.atomic():
        return RepairGates(began).run("leader:test")


def version(gate: Gate) -> Any:
    """Where the row is and who locked or changed it last: another one after each write."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ctid::text, xmin::text, xmax::text FROM jobs_gate WHERE id = %s", [gate.pk])
        return cursor.fetchone()


@pytest.mark.django_db(transaction=True)
class TestRepair:
    def test_too_many_are_corrected_and_the_gate_opens(
        self, bob: User, gate: Gate, caplog: pytest.LogCaptureFixture
    ) -> None:
        many(bob, *[{}] * 4)
        assert len(claim(limit=2)) == 2
        Gate.objects.update(running=3)
        assert claim() == []
        with caplog.at_level(logging.WARNING):
            assert repair() == 1
        assert f"action=gate_corrected gate={gate.pk} scope=org" in caplog.text
        assert "counted=3 running=2" in caplog.text
        assert list(GateOpening.objects.values_list("gate_id", flat=True)) == [gate.pk]
        assert len(claim()) == 1

    def test_too_few_are_corrected_and_nothing_opens(self, bob: User, gate: Gate) -> None:
        many(bob, *[{}] * 4)
        assert len(claim(limit=3)) == 3
        Gate.objects.update(running=0)
        assert repair(began=LONG_AGO) == 1
        gate.refresh_from_db()
        assert gate.running == 3
        assert not GateOpening.objects.exists()
        assert claim() == []

    def test_what_is_right_is_not_written(self, bob: User, gate: Gate) -> None:
        many(bob, *[{"concurrency_key": "k"}, {}, {}])
        running = claim()
        before = [version(one) for one in Gate.objects.order_by("id")]
        assert repair() == repair(began=LONG_AGO) == 0
        assert [version(one) for one in Gate.objects.order_by("id")] == before
        for job in running:
            end(job)
        assert repair() == 0
        assert not Gate.objects.exclude(running=0).exists()

    def test_a_gate_that_a_claim_holds_is_left_for_the_next_time(self, bob: User, gate: Gate) -> None:
        many(bob, *[{}] * 2)
        Gate.objects.update(running=1)
        with transaction.atomic():
            assert len(claim()) == 2  # its gate is locked up to the commit
            assert InThread(repair).answer() == 0
        gate.refresh_from_db()
        assert gate.running == 3
        assert repair() == 1
        gate.refresh_from_db()
        assert gate.running == 2

    def test_claims_beside_it_are_counted_once(self, bob: User, gate: Gate) -> None:
        many(bob, *[{}] * 60)
        ends = time.monotonic() + 1.0

        def work(name: str) -> int:
            done = 0
            while time.monotonic() < ends:
                for job in claim(name, limit=2):
                    end(job, worker=name)
                    done += 1
            return done

        workers = [InThread(lambda name=f"w{number}": work(name)) for number in range(4)]
        corrections = 0
        while time.monotonic() < ends:
            corrections += repair()
            assert Job.objects.filter(status="running").count() <= 3
        assert sum(worker.answer() for worker in workers) == Job.objects.filter(status="done").count() > 0
        assert corrections == 0
        gate.refresh_from_db()
        assert gate.running == 0

    def test_jobs_that_run_outside_of_their_gates_are_taken_in(self, bob: User, gate: Gate) -> None:
        many(bob, {"queue": "mail", "concurrency_key": "k"}, {}, {})
        assert len(claim()) == 3
        Job.objects.update(gates=None)
        Gate.objects.update(running=0)
        assert repair() == 3
        assert dict(Gate.objects.values_list("scope", "running")) == {"org": 3, "key": 1}
        assert repair() == 0
        for job in Job.objects.filter(status="running"):
            assert job.gates is not None
            assert len(job.gates) == (2 if job.concurrency_key else 1)

    def test_leases_that_ended_long_ago_count_at_the_beginning_of_a_term_alone(
        self, bob: User, gate: Gate
    ) -> None:
        """After an outage workers come back to jobs whose leases ran out meanwhile."""
        many(bob, {})
        claim()
        Job.objects.update(lease_expires_at=timezone.now() - timedelta(hours=1))
        assert repair() == 0
        assert repair(began=LONG_AGO) == 1
        gate.refresh_from_db()
        assert gate.running == 0

    def test_a_new_gate_that_nobody_came_to_count_is_counted_and_opens(
        self, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whoever set the limit died behind its commit."""
        assert alice.org is not None
        many(bob, *[{}] * 3)
        assert len(claim(limit=1)) == 1
        monkeypatch.setattr(gate_counts, "fill", lambda gate_id: None)
        limits.set_limit(user=alice, org=alice.org, scope="org", max_running=2)
        assert claim() == []
        with caplog.at_level(logging.INFO):
            assert repair() == 1
        assert "action=gate_counted" in caplog.text
        assert "gate_corrected" not in caplog.text
        assert len(claim()) == 1

    def test_it_is_among_the_duties(self) -> None:
        assert {"repair_gates", "forget_openings"} <= {duty.name for duty in duties_of_a_term()}


@pytest.mark.django_db
def test_old_openings_are_forgotten_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    old = timezone.now() - timedelta(minutes=16)
    GateOpening.objects.bulk_create(
        GateOpening(gate_id=number, xid=number, at=old if number < 7 else timezone.now())
        for number in range(9)
    )
    monkeypatch.setattr(forget_openings, "BATCH", 4)
    assert [forget_openings.run("leader:test") for _ in range(3)] == [4, 3, 0]
    assert sorted(GateOpening.objects.values_list("gate_id", flat=True)) == [7, 8]
