"""The claim, the renewal and the finish against a real PostgreSQL."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection, transaction
from django.utils import timezone

from jobs import claims, leases, reclaims, states
from jobs.models import ExecutionLog, Job, JobEvent, Worker
from orgs.models import User
from tests.queue.claiming import LONG_AGO, InThread, Submit, claim, end, ids, wait_until_blocked

# With these the cheapest plan joins by running an inner subquery again for each row of the table.
NESTED_LOOPS = "; ".join(
    f"SET LOCAL enable_{name} = off"
    for name in ("hashjoin", "mergejoin", "material", "memoize", "hashagg", "sort", "indexscan", "bitmapscan")
)


@pytest.mark.django_db
class TestClaim:
    def test_takes_the_best_rank_first(self, bob: User, submit: Submit) -> None:
        low = submit(bob, lane="low")
        normal = submit(bob)
        high = submit(bob, lane="high")
        assert [job.id for job in claim()] == [high.pk, normal.pk, low.pk]

    def test_takes_no_more_than_asked(self, bob: User, submit: Submit) -> None:
        for _ in range(5):
            submit(bob)
        assert len(claim(limit=3)) == 3
        assert Job.objects.filter(status=states.QUEUED).count() == 2

    def test_takes_no_more_than_asked_when_the_plan_is_a_nested_loop(self, bob: User, submit: Submit) -> None:
        for _ in range(12):
            submit(bob)
        with connection.cursor() as cursor:
            cursor.execute(NESTED_LOOPS)
        assert len(claim(limit=3)) == 3
        assert Job.objects.filter(status=states.RUNNING).count() == 3

    def test_gives_worker_lease_attempt_and_event(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        (claimed,) = claim(worker="w7")
        job.refresh_from_db()
        assert (job.status, job.worker_id, job.attempt, claimed.attempt) == (states.RUNNING, "w7", 1, 1)
        assert job.lease_expires_at is not None
        assert job.lease_expires_at > timezone.now() + timedelta(seconds=20)
        assert JobEvent.objects.filter(
            job=job, old_status="queued", new_status="running", actor="worker:w7"
        ).exists()

    def test_leaves_other_types_and_jobs_that_are_not_due(self, bob: User, submit: Submit) -> None:
        submit(bob, run_at=(timezone.now() + timedelta(hours=1)).isoformat())
        submit(bob, type="shell", payload={"command": "true"})
        assert claims.claim(worker_id="w", types=["http"], limit=5, lease_s=30) == []

    def test_payload_arrives_as_it_was_submitted(self, bob: User, submit: Submit) -> None:
        payload = {"function": "echo", "args": [1, "zwei", {"drei": [None, True]}]}
        submit(bob, payload=payload)
        assert claim()[0].payload == payload


@pytest.mark.django_db
class TestFinish:
    def test_done_records_result_log_and_event_once(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        (claimed,) = claim()
        assert [moved.status for moved in end(claimed, result={"answer": 42})] == [states.DONE]
        assert end(claimed, result={"answer": 43}) == []
        job.refresh_from_db()
        assert (job.status, job.result, job.error_msg) == (states.DONE, {"answer": 42}, "")
        assert job.finished_at is not None
        log = ExecutionLog.objects.get(job=job)
        assert (log.outcome, log.final, log.runtime_ms, log.worker_id) == ("done", True, 12.5, "w1")

    def test_a_worker_that_lost_the_lease_changes_nothing(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        (late,) = claim(worker="w1")
        reclaims.reclaim_expired(actor="leader", now=timezone.now() + timedelta(minutes=5))
        (current,) = claim(worker="w2")
        assert end(late, worker="w1", result="late") == []
        assert end(late, worker="w2", result="wrong attempt") == []
        assert len(end(current, worker="w2", result="right")) == 1
        job.refresh_from_db()
        assert (job.result, job.attempt) == ("right", 2)
        assert list(ExecutionLog.objects.filter(job=job, final=True).values_list("worker_id", flat=True)) == [
            "w2"
        ]

    def test_failure_with_retries_left_waits_for_its_next_attempt(self, bob: User, submit: Submit) -> None:
        job = submit(bob, max_retries=1)
        end(claim()[0], "failed", error="boom", retry_delay_s=60)
        job.refresh_from_db()
        assert (job.status, job.retry_count, job.error_msg) == (states.SCHEDULED, 1, "boom")
        assert job.run_at > timezone.now() + timedelta(seconds=50)
        assert reclaims.promote_due(actor="leader") == []
        assert len(reclaims.promote_due(actor="leader", now=timezone.now() + timedelta(seconds=61))) == 1
        end(claim()[0], "failed", error="boom again", retry_delay_s=60)
        job.refresh_from_db()
        assert (job.status, job.retry_count) == (states.FAILED, 1)
        assert ExecutionLog.objects.filter(job=job).count() == 2

    def test_failure_that_retrying_cannot_mend_is_final(self, bob: User, submit: Submit) -> None:
        job = submit(bob, max_retries=5)
        end(claim()[0], "failed", error="no such function", retry_delay_s=None)
        job.refresh_from_db()
        assert job.status == states.FAILED

    def test_handing_back_costs_no_attempt_and_leaves_no_log(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        end(claim()[0], "released")
        job.refresh_from_db()
        assert (job.status, job.retry_count) == (states.QUEUED, 0)
        assert not ExecutionLog.objects.filter(job=job).exists()

    def test_a_cancel_wins_over_a_retry_but_not_over_a_result(self, bob: User, submit: Submit) -> None:
        submit(bob)
        submit(bob)
        failing, succeeding = claim()
        Job.objects.update(cancel_requested=True)
        end(failing, "failed", retry_delay_s=1)
        end(succeeding, "done", result=1)
        assert Job.objects.get(pk=failing.id).status == states.CANCELLED
        assert Job.objects.get(pk=succeeding.id).status == states.DONE


@pytest.mark.django_db
class TestLeases:
    def test_renew_extends_and_tells_of_cancels_and_losses(self, bob: User, submit: Submit) -> None:
        mine, cancelled, lost = (submit(bob) for _ in range(3))
        held = [(job.id, job.attempt) for job in claim()]
        Job.objects.filter(pk=cancelled.pk).update(cancel_requested=True)
        Job.objects.filter(pk=lost.pk).update(worker_id="other")
        Job.objects.filter(pk=mine.pk).update(lease_expires_at=timezone.now())
        Worker.objects.create(worker_id="w1", hostname="h", pid=1, concurrency=1, last_seen=LONG_AGO)
        assert leases.renew(worker_id="w1", held=held, lease_s=30).mine == {
            (mine.pk, 1): False,
            (cancelled.pk, 1): True,
        }
        assert Worker.objects.get().last_seen > LONG_AGO
        mine.refresh_from_db()
        assert mine.lease_expires_at is not None
        assert mine.lease_expires_at > timezone.now() + timedelta(seconds=20)

    def test_expired_lease_queues_the_job_again_and_counts_the_attempt(
        self, bob: User, submit: Submit
    ) -> None:
        job = submit(bob, max_retries=1)
        later = timezone.now() + timedelta(minutes=1)
        claim()
        assert reclaims.reclaim_expired(actor="leader") == []
        assert [moved.status for moved in reclaims.reclaim_expired(actor="leader", now=later)] == [
            states.QUEUED
        ]
        claim()
        assert [moved.status for moved in reclaims.reclaim_expired(actor="leader", now=later)] == [
            states.FAILED
        ]
        assert list(
            ExecutionLog.objects.filter(job=job).order_by("attempt").values_list("outcome", "final")
        ) == [
            ("lost", False),
            ("lost", True),
        ]


@pytest.mark.django_db(transaction=True)
class TestRaces:
    """Races by held locks: the second claimer really meets a row that another one holds."""

    def test_a_row_that_another_claimer_holds_is_skipped(self, bob: User, submit: Submit) -> None:
        first, second = submit(bob), submit(bob)
        with transaction.atomic():
            Job.objects.select_for_update().get(pk=first.pk)
            assert ids(InThread(lambda: claim("w2")).answer()) == [second.pk]

    def test_many_claimers_share_few_jobs_without_overlap(self, bob: User, submit: Submit) -> None:
        wanted = {submit(bob).pk for _ in range(5)}
        barrier = threading.Barrier(8)

        def take(worker: str) -> list[int]:
            barrier.wait(timeout=10)
            return ids(claim(worker, limit=2))

        claimers = [InThread(partial(take, f"w{number}")) for number in range(8)]
        assert sorted(pk for claimer in claimers for pk in claimer.answer()) == sorted(wanted)

    def test_finish_waits_for_a_cancel_in_flight_and_sees_it(self, bob: User, submit: Submit) -> None:
        submit(bob)
        (claimed,) = claim()
        with transaction.atomic():
            Job.objects.select_for_update().filter(pk=claimed.id).update(cancel_requested=True)
            finishing = InThread(lambda: end(claimed, "failed", retry_delay_s=1))
            wait_until_blocked()
        assert ids(finishing.answer()) == [claimed.id]
        assert Job.objects.get(pk=claimed.id).status == states.CANCELLED
