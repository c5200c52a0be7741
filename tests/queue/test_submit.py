"""Submitting and cancelling through the services."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from jobs import claims, notify, prediction, services, states, submission
from jobs.models import Job, JobEvent
from jobs.prediction import Prediction
from orgs.exceptions import Forbidden, InvalidInput
from orgs.models import User
from tests.processes import database_url

Submit = Callable[..., Job]


@pytest.fixture
def predictor() -> Any:
    """Registers a predictor for one test; puts the real one back."""
    before = prediction._predictor
    yield prediction.register
    prediction.register(before)


@pytest.mark.django_db
class TestSubmit:
    def test_job_waits_with_rank_priority_and_event(self, bob: User, submit: Submit, predictor: Any) -> None:
        predictor(lambda requests: [Prediction(1500.0, 2 / 3, "lstm", 7)])
        job = submit(bob, lane="high")
        job.refresh_from_db()
        assert (job.status, job.user, job.org) == (states.QUEUED, bob, bob.org)
        assert (job.predicted_runtime_ms, job.prediction_source, job.model_version) == (1500.0, "lstm", 7)
        assert job.rank == pytest.approx(job.run_at.timestamp() + 10 * 1.5 - 300)
        assert list(JobEvent.objects.filter(job=job).values_list("new_status", "actor")) == [
            ("queued", f"user:{bob.pk}")
        ]

    def test_delayed_job_is_scheduled(self, bob: User, submit: Submit) -> None:
        job = submit(bob, run_at=timezone.now() + timedelta(hours=1))
        assert (job.status, job.queued_at) == (states.SCHEDULED, None)

    @pytest.mark.parametrize(
        "broken",
        [
            lambda requests: 1 / 0,
            lambda requests: [],
            lambda requests: [Prediction(float("nan"), 0.5, "lstm")],
            lambda requests: [Prediction(100.0, 7.0, "lstm")],
            None,
        ],
    )
    def test_a_broken_predictor_costs_the_prediction_not_the_job(
        self, bob: User, submit: Submit, predictor: Any, broken: Any
    ) -> None:
        predictor(broken)
        job = submit(bob)
        assert (job.status, job.priority, job.predicted_runtime_ms) == (states.QUEUED, 0.5, None)

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"type": "cobol"}, "type"),
            ({"name": ""}, "name"),
            ({"name": "   "}, "name"),
            ({"name": "x" * 201}, "name"),
            ({"name": "nul\x00"}, "name"),
            ({"lane": "express"}, "lane"),
            ({"max_retries": -1}, "max_retries"),
            ({"max_retries": "3"}, "max_retries"),
            ({"timeout_s": 0}, "timeout_s"),
            ({"timeout_s": float("inf")}, "timeout_s"),
            ({"run_at": "tomorrow"}, "run_at"),
            ({"run_at": "2030-01-01T00:00:00"}, "run_at"),
            ({"run_at": "0001-01-01T00:00:00+23:00"}, "run_at"),
            ({"run_at": "9999-12-31T23:59:59-23:00"}, "run_at"),
            ({"payload": {"function": "no such"}}, "payload.function"),
            ({"payload": []}, "payload"),
            ({"colour": "red"}, "colour"),
        ],
    )
    def test_bad_input_names_its_field_and_stores_nothing(
        self, bob: User, submit: Submit, fields: dict[str, Any], named: str
    ) -> None:
        with pytest.raises(InvalidInput) as caught:
            submit(bob, **fields)
        assert list(caught.value.fields) == [named]
        assert not Job.objects.exists()

    def test_every_wrong_field_is_named_at_once(self, bob: User, submit: Submit) -> None:
        with pytest.raises(InvalidInput) as caught:
            submit(bob, lane="express", payload={"function": "noop", "speed": 1})
        assert set(caught.value.fields) == {"lane", "payload.speed"}

    def test_repeated_key_returns_the_first_job(self, bob: User, submit: Submit) -> None:
        first = submit(bob, idempotency_key="k1")
        again = submit(bob, idempotency_key="k1")
        assert (again.pk, first.was_created, again.was_created) == (first.pk, True, False)
        with pytest.raises(services.IdempotencyConflict):
            submit(bob, idempotency_key="k1", name="something else")
        assert Job.objects.count() == 1

    def test_keys_of_two_organisations_do_not_meet(self, bob: User, charlie: User, submit: Submit) -> None:
        assert submit(bob, idempotency_key="k").pk != submit(charlie, idempotency_key="k").pk


@pytest.mark.django_db(transaction=True)
class TestTransactions:
    def test_rollback_leaves_no_job_and_no_wake_up(self, bob: User, submit: Submit) -> None:
        with listener() as session:
            with transaction.atomic():
                submit(bob)
                transaction.set_rollback(True)
            submit(bob, name="kept")
            messages = [message.channel for message in session.notifies(timeout=5, stop_after=2)]
        assert sorted(messages) == ["smartqueue_jobs", "smartqueue_live"]
        assert list(Job.objects.values_list("name", flat=True)) == ["kept"]

    def test_a_wake_up_that_cannot_be_sent_fails_no_submission(
        self, bob: User, submit: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[Any] = []

        def away(messages: Any) -> None:
            asked.append(messages)
            raise OperationalError("the connection was lost")

        monkeypatch.setattr(notify, "_notify", away)
        job = submit(bob)
        assert len(asked) == 1
        assert Job.objects.get().pk == job.pk

    def test_many_duplicates_at_once_make_one_job(self, bob: User, submit: Submit) -> None:
        barrier, seen = threading.Barrier(8), []

        def one() -> None:
            try:
                barrier.wait(timeout=10)
                seen.append(submit(bob, idempotency_key="same").pk)
            finally:
                connection.close()

        threads = [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        assert len(seen) == 8
        assert len(set(seen)) == Job.objects.count() == 1


@pytest.mark.django_db
class TestCancel:
    def test_waiting_job_is_cancelled_at_once(self, bob: User, submit: Submit) -> None:
        job = services.cancel(job=submit(bob), user=bob)
        assert (job.status, job.finished_at is not None) == (states.CANCELLED, True)
        with pytest.raises(services.AlreadyFinal):
            services.cancel(job=job, user=bob)

    def test_running_job_is_asked_to_stop(self, bob: User, submit: Submit) -> None:
        job = submit(bob)
        claims.claim(worker_id="w", types=["python"], limit=1, lease_s=30)
        job = services.cancel(job=job, user=bob)
        assert (job.status, job.cancel_requested) == (states.RUNNING, True)

    def test_own_jobs_for_users_all_jobs_for_org_admins_none_for_viewers(
        self, alice: User, bob: User, vera: User, submit: Submit
    ) -> None:
        of_alice, of_bob = submit(alice), submit(bob)
        for user, job in ((bob, of_alice), (vera, of_bob)):
            with pytest.raises(Forbidden):
                services.cancel(job=job, user=user)
        assert services.cancel(job=of_bob, user=alice).status == states.CANCELLED


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_either_a_submission_or_named_errors(values: object) -> None:
    try:
        submission.parse(values)
    except submission.SubmissionError as error:
        assert error.fields


@given(
    st.fixed_dictionaries(
        {"name": st.text(), "type": st.sampled_from(["http", "shell", "etl", "ml", "python", "x"])},
        optional={
            "payload": st.dictionaries(st.text(), st.text() | st.integers()),
            "lane": st.text(),
            "run_at": st.text() | st.floats(),
            "timeout_s": st.floats() | st.text(),
            "max_retries": st.integers() | st.text(),
            "idempotency_key": st.text(),
        },
    )
)
def test_almost_right_submissions_never_raise_anything_else(values: dict[str, object]) -> None:
    try:
        submission.parse(values)
    except submission.SubmissionError as error:
        assert error.fields


def listener() -> psycopg.Connection:
    session = psycopg.connect(database_url(), autocommit=True)
    session.execute("LISTEN smartqueue_jobs")
    session.execute("LISTEN smartqueue_live")
    return session
