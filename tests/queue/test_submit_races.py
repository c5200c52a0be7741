"""Submissions that meet: the same idempotency key, the same new flow, batches in other orders."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from jobs import services
from jobs.models import Flow, Job, JobEvent
from orgs.models import User
from tests.queue.submitting import Later, at_once, listener, many, somebody_waits
from tests.waiting import wait_until

Submit = Callable[..., Job]


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_fifty_duplicates_make_one_job(self, bob: User, submit: Submit) -> None:
        barrier = threading.Barrier(50)

        def one() -> int:
            barrier.wait(timeout=20)
            return int(submit(bob, idempotency_key="same").pk)

        assert len(set(at_once([one] * 50))) == Job.objects.count() == JobEvent.objects.count() == 1

    def test_batches_with_the_same_keys_in_other_orders_do_not_wait_in_a_circle(self, bob: User) -> None:
        keys = [{"idempotency_key": f"k{number}"} for number in range(300)]
        barrier = threading.Barrier(4)

        def one(wanted: list[dict[str, Any]]) -> list[str]:
            barrier.wait(timeout=20)
            return [answer.status for answer in many(bob, *wanted)]

        orders = [keys, keys[::-1], keys[150:] + keys[:150], keys[::-1]]
        statuses = at_once([lambda order=order: one(order) for order in orders])
        assert sorted(status for one in statuses for status in one) == ["created"] * 300 + ["existing"] * 900
        assert Job.objects.count() == 300

    @pytest.mark.parametrize("kept", [True, False])
    def test_a_duplicate_waits_for_the_first_and_takes_its_place_when_that_fails(
        self, bob: User, submit: Submit, kept: bool
    ) -> None:
        submit(bob)  # makes the flow
        with transaction.atomic():
            first = submit(bob, idempotency_key="k")
            second = Later(lambda: submit(bob, idempotency_key="k"))
            wait_until(somebody_waits, message="the duplicate waits")
            transaction.set_rollback(not kept)
        job = second.result()
        assert (job.pk == first.pk, job.was_created) == (kept, not kept)
        assert Job.objects.filter(idempotency_key="k").count() == 1

    def test_an_expired_key_goes_to_one_of_two(self, bob: User, submit: Submit) -> None:
        services.cancel(job=submit(bob, idempotency_key="k"), user=bob)
        now = timezone.now() + timedelta(days=2)
        with transaction.atomic():
            first = submit(bob, idempotency_key="k", now=now)
            second = Later(lambda: submit(bob, idempotency_key="k", now=now))
            wait_until(somebody_waits, message="the other one waits")
        assert second.result().pk == first.pk
        assert first.was_created

    def test_two_who_need_the_same_new_flow(self, bob: User, submit: Submit) -> None:
        with transaction.atomic():
            first = submit(bob, queue="new")
            second = Later(lambda: submit(bob, queue="new"))
            wait_until(somebody_waits, message="the other one waits")
        assert second.result().flow_id == first.flow_id
        assert Flow.objects.filter(queue="new").count() == 1

    def test_a_rolled_back_batch_leaves_nothing(self, bob: User) -> None:
        with transaction.atomic():
            many(bob, {"queue": "new"}, {"idempotency_key": "k"})
            transaction.set_rollback(True)
        assert [model.objects.count() for model in (Job, JobEvent, Flow)] == [0, 0, 0]

    @pytest.mark.usefixtures("prompt_hints")
    def test_a_batch_wakes_workers_and_pages(self, bob: User) -> None:
        with listener() as session:
            many(bob, *[{}] * 50)
            channels = {message.channel for message in session.notifies(timeout=10, stop_after=2)}
        assert channels == {"smartqueue_jobs", "smartqueue_live"}
