"""What the statements of the queue refuse, note and leave alone: each test holds one guard of them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from jobs import leases, output, reclaims, states
from jobs.models import ExecutionLog, Job, JobEvent, LogLine, Worker
from orgs.models import User
from tests.queue.claiming import LATER, LONG_AGO, InThread, Submit, claim, end, ids, wait_until_blocked


def worker_row(worker_id: str = "w1") -> Worker:
    return Worker.objects.create(worker_id=worker_id, hostname="h", pid=1, concurrency=1)


@pytest.mark.django_db
class TestFinish:
    def test_only_the_worker_that_holds_the_job_may_end_it(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        (claimed,) = claim("w1")
        assert end(claimed, worker="w2") == []
        job.refresh_from_db()
        assert job.status == states.RUNNING

    def test_handed_back_job_carries_no_error(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        end(claim()[0], "released", error="stopped")
        job.refresh_from_db()
        assert (job.status, job.error_msg, job.retry_count) == (states.QUEUED, "", 0)

    def test_handed_back_job_that_was_to_be_cancelled_is_cancelled(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        (claimed,) = claim()
        Job.objects.update(cancel_requested=True)
        assert [moved.status for moved in end(claimed, "released")] == [states.CANCELLED]
        log = ExecutionLog.objects.get(job=job)
        assert (log.outcome, log.final) == ("cancelled", True)


@pytest.mark.django_db
class TestTimes:
    def test_wait_is_counted_from_the_queue_to_the_claim(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        Job.objects.update(queued_at=LONG_AGO)
        (claimed,) = claim(now=LONG_AGO + timedelta(seconds=90))
        end(claimed)
        assert claimed.wait_ms == ExecutionLog.objects.get(job=job).wait_ms == 90_000

    def test_a_lost_attempt_tells_its_wait_and_runtime(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        Job.objects.update(queued_at=LONG_AGO)
        claim(now=LONG_AGO + timedelta(seconds=90))
        reclaims.reclaim_expired(actor="leader", now=LONG_AGO + timedelta(seconds=190))
        log = ExecutionLog.objects.get(job=job)
        assert (log.wait_ms, log.runtime_ms) == (90_000, 100_000)

    def test_promoted_job_is_queued_from_then_on(self, bob: User, submit: Submit) -> None:
        job = submit(bob, run_at=timezone.now() + timedelta(minutes=1))
        reclaims.promote_due(actor="leader", now=LATER)
        job.refresh_from_db()
        assert job.queued_at == LATER

    def test_handed_back_job_is_queued_from_then_on(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        Job.objects.update(queued_at=LONG_AGO)
        end(claim()[0], "released")
        job.refresh_from_db()
        assert job.queued_at is not None
        assert job.queued_at > LONG_AGO

    def test_reclaimed_job_is_queued_from_then_on(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        claim()
        reclaims.reclaim_expired(actor="leader", now=LATER)
        job.refresh_from_db()
        assert job.queued_at == LATER


@pytest.mark.django_db
class TestLeases:
    def test_an_unheard_claim_of_a_job_that_is_to_be_cancelled_cancels_it(
        self, bob: User, submit: Submit
    ) -> None:
        job = submit(bob)
        claim()
        Job.objects.filter(pk=job.pk).update(cancel_requested=True)
        assert [row.status for row in leases.hand_back_unknown(worker_id="w1", held=[])] == [states.CANCELLED]

    def test_a_lease_of_another_attempt_is_not_renewed(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        claim()
        Job.objects.update(lease_expires_at=LONG_AGO)
        assert leases.renew(worker_id="w1", held=[(job.pk, 2)], lease_s=30).mine == {}
        job.refresh_from_db()
        assert job.lease_expires_at == LONG_AGO

    def test_a_lease_of_another_worker_is_not_renewed(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        claim("w2")
        Job.objects.update(lease_expires_at=LONG_AGO)
        assert leases.renew(worker_id="w1", held=[(job.pk, 1)], lease_s=30).mine == {}
        job.refresh_from_db()
        assert job.lease_expires_at == LONG_AGO

    def test_lost_job_that_was_to_be_cancelled_is_cancelled(self, bob: User, submit: Submit) -> None:
        job = submit(bob, max_retries=3)
        claim()
        Job.objects.update(cancel_requested=True)
        (moved,) = reclaims.reclaim_expired(actor="leader", now=LATER)
        job.refresh_from_db()
        assert (moved.status, job.status, job.finished_at) == (states.CANCELLED, states.CANCELLED, LATER)
        log = ExecutionLog.objects.get(job=job)
        assert (log.outcome, log.final) == ("lost", True)

    def test_unheard_claims_go_back_and_nothing_else(self, bob: User, submit: Submit) -> None:
        known, unknown, renumbered, others = (submit(bob) for _ in range(4))
        claim("w1", limit=3)
        claim("w2")
        back = leases.hand_back_unknown(worker_id="w1", held=[(known.pk, 1), (renumbered.pk, 7)])
        assert sorted(ids(back)) == [unknown.pk, renumbered.pk]
        running = Job.objects.filter(status=states.RUNNING).values_list("pk", flat=True)
        assert sorted(running) == [known.pk, others.pk]
        unknown.refresh_from_db()
        assert (unknown.status, unknown.retry_count, unknown.lease_expires_at) == (states.QUEUED, 0, None)
        events = JobEvent.objects.filter(old_status="running", new_status="queued", actor="worker:w1")
        assert sorted(events.values_list("job_id", flat=True)) == [unknown.pk, renumbered.pk]


@pytest.mark.django_db(transaction=True)
class TestHeldLocks:
    """Somebody else holds a row for long: the others are served all the same."""

    def test_renewal_leaves_a_held_row_and_does_not_call_it_lost(self, bob: User, submit: Submit) -> None:
        stuck, free = submit(bob), submit(bob)
        held = [(job.id, job.attempt) for job in claim()]
        Job.objects.update(lease_expires_at=LONG_AGO)
        with transaction.atomic():
            Job.objects.select_for_update().get(pk=stuck.pk)
            renewal = InThread(lambda: leases.renew(worker_id="w1", held=held, lease_s=30))
            assert renewal.answer().mine == {(stuck.pk, 1): False, (free.pk, 1): False}
        renewed = Job.objects.filter(lease_expires_at__gt=LONG_AGO)
        assert list(renewed.values_list("pk", flat=True)) == [free.pk]

    def test_reclaiming_leaves_a_held_row(self, bob: User, submit: Submit) -> None:
        stuck, free = submit(bob), submit(bob)
        claim()
        with transaction.atomic():
            Job.objects.select_for_update().get(pk=stuck.pk)
            reclaiming = InThread(lambda: reclaims.reclaim_expired(actor="leader", now=LATER))
            assert ids(reclaiming.answer()) == [free.pk]

    def test_promoting_leaves_a_held_row(self, bob: User, submit: Submit) -> None:
        stuck, free = (submit(bob, run_at=timezone.now() + timedelta(minutes=1)) for _ in range(2))
        with transaction.atomic():
            Job.objects.select_for_update().get(pk=stuck.pk)
            promoting = InThread(lambda: reclaims.promote_due(actor="leader", now=LATER))
            assert ids(promoting.answer()) == [free.pk]

    def test_lines_of_a_job_that_is_being_deleted_cost_no_other_line(self, bob: User, submit: Submit) -> None:
        doomed, kept = submit(bob), submit(bob)
        lines = [output.Line(job.pk, 1, 1, "stdout", "hello") for job in (doomed, kept)]
        with transaction.atomic():
            doomed.delete()
            appending = InThread(lambda: output.append(lines))
            wait_until_blocked()
        appending.answer()
        assert list(LogLine.objects.values_list("job_id", "text")) == [(kept.pk, "hello")]
