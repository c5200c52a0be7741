"""Who is robbed of jobs and who is not: lock and heartbeat together tell a death, a lease that ran out the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from jobs import claims, leases, reclaims, states
from jobs.models import ExecutionLog, Job, JobEvent, Worker
from orgs.models import User
from scheduler import registry
from scheduler.duties import reclaim_expired
from scheduler.duties.reclaim_expired import ALL_EVERY_S, RETURN_S, ReclaimExpired
from scheduler.duties.rescue_lost import RescueLost, dead_workers, silence_s
from tests.processes import database_url
from tests.queue.claiming import claim, end
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Submit = Callable[..., Job]
KEY = 4711
LONG_BEFORE = -1e6  # a term that began long ago, on the clock of time.monotonic


@contextmanager
def other_session(dbname: str = "") -> Iterator[psycopg.Connection]:
    changed = {"dbname": dbname} if dbname else {}
    with psycopg.connect(database_url(), **changed) as session:
        yield session


@contextmanager
def lock_held(key: int, dbname: str = "") -> Iterator[None]:
    with other_session(dbname) as session:
        session.execute("SELECT pg_advisory_lock(%s)", [key])
        session.commit()
        yield


def worker(worker_id: str = "w1", *, silent_s: float = 0.0, lock_key: int | None = KEY) -> Worker:
    registry.register(worker_id, 4, lock_key=lock_key, types=["python"])
    return last_seen(worker_id, silent_s)


def last_seen(worker_id: str, silent_s: float) -> Worker:
    Worker.objects.filter(pk=worker_id).update(last_seen=timezone.now() - timedelta(seconds=silent_s))
    return Worker.objects.get(pk=worker_id)


def let_leases_run_out(seconds: float = 1.0) -> None:
    Job.objects.filter(status=states.RUNNING).update(
        lease_expires_at=timezone.now() - timedelta(seconds=seconds)
    )


def rescue() -> int:
    return RescueLost(began=LONG_BEFORE).run("leader:x")


class TestDeadWorkers:
    def test_a_killed_workers_jobs_are_queued_again_before_their_lease_ends(
        self, bob: User, submit: Submit
    ) -> None:
        worker(silent_s=0)
        jobs = [submit(bob) for _ in range(3)]
        claim("w1")
        last_seen("w1", silence_s() + 1)
        assert rescue() == 4
        assert set(Job.objects.values_list("status", flat=True)) == {states.QUEUED}
        assert Worker.objects.get().status == Worker.LOST
        assert ExecutionLog.objects.filter(outcome="lost", job__in=jobs).count() == 3
        assert JobEvent.objects.filter(actor="leader:x", new_status=states.QUEUED).count() == 3

    def test_default_settings_notice_a_death_within_eight_seconds(self) -> None:
        """Two missed beats and the second between two runs of the duty; the rest of ten is for the new start."""
        assert settings.HEARTBEAT_S == 3
        assert silence_s() + 1 < 8

    @pytest.mark.parametrize("key", [1, KEY, -1, 2**63 - 1, -(2**63), 2**32, -(2**32) - 5])
    def test_who_holds_its_lock_is_alive_however_silent(self, bob: User, submit: Submit, key: int) -> None:
        """A process that is stopped or starved keeps its sessions."""
        worker(silent_s=3600, lock_key=key)
        with lock_held(key):
            assert dead_workers() == []
        wait_until(lambda: dead_workers() == ["w1"], message="the server never let go of the lock")

    def test_who_is_heard_of_is_alive_without_its_lock(self) -> None:
        """The session with the lock was cut, and comes back."""
        worker(silent_s=2 * settings.HEARTBEAT_S)
        assert dead_workers() == []

    def test_who_never_had_a_lock_is_left_to_its_lease(self, bob: User, submit: Submit) -> None:
        worker(silent_s=3600, lock_key=None)
        submit(bob)
        claim("w1")
        assert rescue() == 0
        assert Job.objects.get().status == states.RUNNING

    def test_the_lock_of_the_same_number_in_another_database_is_another_lock(self) -> None:
        worker(silent_s=3600)
        with lock_held(KEY, dbname="postgres"):
            assert dead_workers() == ["w1"]

    @pytest.mark.parametrize("status", [Worker.STOPPED, Worker.LOST])
    def test_workers_that_ended_are_not_asked_about(self, status: str) -> None:
        worker(silent_s=3600)
        Worker.objects.update(status=status)
        assert dead_workers() == []

    def test_a_worker_that_is_stopping_can_die_too(self) -> None:
        worker(silent_s=3600)
        Worker.objects.update(status=Worker.STOPPING)
        assert dead_workers() == ["w1"]

    def test_a_heartbeat_that_is_being_written_counts(self, bob: User, submit: Submit) -> None:
        worker(silent_s=3600)
        submit(bob)
        claim("w1")
        with other_session() as beating:
            beating.execute("UPDATE jobs_worker SET last_seen = now()")
            assert rescue() == 0
            beating.commit()
        assert rescue() == 0
        assert Worker.objects.get().status == Worker.ACTIVE

    def test_a_job_that_somebody_else_holds_is_taken_the_next_time(self, bob: User, submit: Submit) -> None:
        held, free = submit(bob), submit(bob)
        worker()
        claim("w1")
        last_seen("w1", silence_s() + 1)
        with other_session() as other:
            other.execute("SELECT 1 FROM jobs_job WHERE id = %s FOR UPDATE", [held.pk])
            assert rescue() == 1
            assert list(Job.objects.filter(status=states.QUEUED)) == [free]
            assert Worker.objects.get().status == Worker.ACTIVE
        assert rescue() == 2
        assert Worker.objects.get().status == Worker.LOST

    def test_a_death_is_logged_once_however_long_a_job_is_held(
        self, bob: User, submit: Submit, caplog: pytest.LogCaptureFixture
    ) -> None:
        held = submit(bob)
        worker()
        claim("w1")
        last_seen("w1", silence_s() + 1)
        duty = RescueLost(began=LONG_BEFORE)
        with other_session() as other:
            other.execute("SELECT 1 FROM jobs_job WHERE id = %s FOR UPDATE", [held.pk])
            assert [duty.run("leader:x") for _ in range(3)] == [0, 0, 0]
        assert duty.run("leader:x") == 2
        assert caplog.text.count("action=workers_died") == 1

    def test_a_new_leader_does_not_judge_by_what_was_before_its_term(self, bob: User, submit: Submit) -> None:
        """After an outage of the database no worker has its lock, and all were silent."""
        worker()
        submit(bob)
        claim("w1")
        last_seen("w1", 3600)
        duty = RescueLost()
        assert duty.run("leader:x") == 0
        later = RescueLost(began=time.monotonic() - silence_s())
        assert later.run("leader:x") == 2

    def test_one_that_was_taken_for_dead_and_comes_back_records_nothing(
        self, bob: User, submit: Submit
    ) -> None:
        worker()
        submit(bob)
        (job,) = claim("w1")
        last_seen("w1", silence_s() + 1)
        rescue()
        assert end(job, worker="w1") == []
        renewed = leases.renew(worker_id="w1", held=[(job.id, job.attempt)], lease_s=30)
        assert renewed.mine == {}
        assert Worker.objects.get().status == Worker.ACTIVE


class TestLeases:
    def test_leases_that_ran_out_are_reclaimed_and_their_workers_marked(
        self, bob: User, submit: Submit
    ) -> None:
        worker(lock_key=None)
        submit(bob)
        claim("w1")
        last_seen("w1", settings.LEASE_S + 1)
        let_leases_run_out()
        assert ReclaimExpired(began=LONG_BEFORE).run("leader:x") == 2
        assert Job.objects.get().status == states.QUEUED
        assert Worker.objects.get().status == Worker.LOST

    def test_a_new_leader_lets_workers_come_back_first(self, bob: User, submit: Submit) -> None:
        worker()
        submit(bob)
        claim("w1")
        let_leases_run_out(3600)
        assert ReclaimExpired().run("leader:x") == 0
        assert ReclaimExpired(began=time.monotonic() - RETURN_S).run("leader:x") == 1

    def test_later_runs_look_at_what_ran_out_since_and_now_and_then_at_all(
        self, bob: User, submit: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        duty = ReclaimExpired(began=LONG_BEFORE)
        assert duty.run("leader:x") == 0
        submit(bob, name="old")
        claim("w1")
        let_leases_run_out(3600)
        submit(bob, name="new")
        claim("w1")
        Job.objects.filter(name="new").update(lease_expires_at=timezone.now())
        assert duty.run("leader:x") == 1
        assert Job.objects.get(name="new").status == states.QUEUED
        assert Job.objects.get(name="old").status == states.RUNNING
        now = time.monotonic()
        monkeypatch.setattr(reclaim_expired.time, "monotonic", lambda: now + ALL_EVERY_S + 60)
        assert duty.run("leader:x") == 1
        assert Job.objects.get(name="old").status == states.QUEUED

    def test_a_full_batch_is_followed_by_the_next(
        self, bob: User, submit: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reclaim_expired, "BATCH", 2)
        for _ in range(5):
            submit(bob)
        claim("w1")
        let_leases_run_out(3600)
        duty = ReclaimExpired(began=LONG_BEFORE)
        assert [duty.run("leader:x") for _ in range(4)] == [2, 2, 1, 0]

    def test_a_look_at_all_that_fails_is_not_tried_again_at_once(
        self, bob: User, submit: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        duty = ReclaimExpired(began=LONG_BEFORE)
        asked: list[Any] = []
        real = reclaims.reclaim_expired

        def counted(**values: Any) -> list[claims.Moved]:
            asked.append(values.get("since"))
            return real(**values)

        with other_session() as holder:
            holder.execute("LOCK TABLE jobs_job IN ACCESS EXCLUSIVE MODE")
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '50ms'")
            with pytest.raises(Exception, match="lock timeout"):
                duty.run("leader:x")
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
        monkeypatch.setattr(reclaims, "reclaim_expired", counted)
        duty.run("leader:x")
        assert len(asked) == 1
        assert asked[0] is not None
