"""Submitting and cancelling through the services."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from jobs import claims, notify, services, states, submission
from jobs.models import Job, JobEvent
from jobs.prediction import Prediction
from orgs.exceptions import Forbidden, InvalidInput
from orgs.models import User
from tests.queue.submitting import listener
from tests.waiting import wait_until

Submit = Callable[..., Job]


@pytest.mark.django_db
class TestSubmit:
    def test_job_waits_with_rank_priority_and_event(self, bob: User, submit: Submit, predictor: Any) -> None:
        predictor(lambda requests: [Prediction(1500.0, 2 / 3, "lstm", 7, low_ms=500.0, high_ms=9000.0)])
        job = submit(bob, lane="high")
        job.refresh_from_db()
        assert (job.status, job.user, job.org) == (states.QUEUED, bob, bob.org)
        assert (job.predicted_runtime_ms, job.prediction_source, job.model_version) == (1500.0, "lstm", 7)
        ahead = settings.ORDERING.head_start(lane="high", predicted_ms=1500, low_ms=500, high_ms=9000)
        assert job.rank - job.run_at.timestamp() == pytest.approx(ahead, abs=1e-5)
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
            ({"delay": "3"}, "delay"),
            ({"delay": -1}, "delay"),
            ({"delay": float("nan")}, "delay"),
            ({"delay": 1, "run_at": "2030-01-01T00:00:00Z"}, "delay"),
            ({"queue": "two words"}, "queue"),
            ({"queue": "q" * 61}, "queue"),
            ({"tags": "red"}, "tags"),
            ({"tags": ["red", "red"]}, "tags"),
            ({"tags": [str(number) for number in range(21)]}, "tags"),
            ({"tags": ["ok", " "]}, "tags.1"),
            ({"tags": ["x" * 61]}, "tags.0"),
            ({"concurrency_key": ""}, "concurrency_key"),
            ({"concurrency_key": "k" * 201}, "concurrency_key"),
            ({"retry": {"base_s": -1}}, "retry.base_s"),
            ({"retry": {"factor": 0.5}}, "retry.factor"),
            ({"retry": {"jitter": "some"}}, "retry.jitter"),
            ({"retry": {"colour": 1}}, "retry.colour"),
            ({"retry": 5}, "retry"),
            ({"soft_timeout_s": 5, "timeout_s": 5}, "soft_timeout_s"),
            ({"soft_timeout_s": settings.JOB_TIMEOUT_S}, "soft_timeout_s"),
            ({"memory_mb": 15}, "memory_mb"),
            ({"memory_mb": 64.5}, "memory_mb"),
            ({"cpu_s": 0}, "cpu_s"),
        ],
    )
    def test_bad_input_names_its_field_and_stores_nothing(
        self, bob: User, submit: Submit, fields: dict[str, Any], named: str
    ) -> None:
        with pytest.raises(InvalidInput) as caught:
            submit(bob, **fields)
        assert list(caught.value.fields) == [named]
        assert not Job.objects.exists()

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"concurrency_key": "k" * 201}, "Expected at most 200 characters."),
            ({"idempotency_key": "k" * 201}, "Expected at most 200 characters."),
            ({"name": "n" * 201}, "Expected at most 200 characters."),
            ({"tags": ["x" * 61]}, "Expected at most 60 characters."),
            ({"tags": [str(number) for number in range(21)]}, "Expected at most 20 tags."),
            ({"idempotency_key": ""}, "Must not be empty."),
            ({"concurrency_key": ""}, "Must not be empty."),
            ({"retry": 5}, "Expected a JSON object."),
            ({"timeout_s": "soon"}, "Expected a number."),
        ],
    )
    def test_bad_input_is_told_what_was_expected(
        self, bob: User, submit: Submit, fields: dict[str, Any], sentence: str
    ) -> None:
        with pytest.raises(InvalidInput) as caught:
            submit(bob, **fields)
        assert list(caught.value.fields.values()) == [[sentence]]

    def test_every_wrong_field_is_named_at_once(self, bob: User, submit: Submit) -> None:
        with pytest.raises(InvalidInput) as caught:
            submit(bob, lane="express", payload={"function": "noop", "speed": 1})
        assert set(caught.value.fields) == {"lane", "payload.speed"}

    def test_the_answer_is_the_row(self, bob: User, submit: Submit, predictor: Any) -> None:
        predictor(lambda requests: [Prediction(1234.5, 0.7, "lstm", 7)])
        first = submit(bob)
        for fields in (
            {},
            {"delay": 3.5, "lane": "low", "queue": "night", "tags": ["a", "b, c"], "concurrency_key": "k"},
            {"run_at": timezone.now() + timedelta(days=400), "retry": {"base_s": 2, "jitter": "none"}},
            {"run_at": timezone.now() - timedelta(days=1), "retry": {}, "timeout_s": 9, "soft_timeout_s": 4},
            {"memory_mb": 64, "cpu_s": 1.5, "max_retries": 0, "idempotency_key": "k\"1'"},
            {
                "replay_of": first.pk,
                "payload": {"function": "echo", "args": ["\u00e9\U0001f600\\", 10**300, None]},
            },
        ):
            job = submit(bob, **fields)
            row = Job.objects.get(pk=job.pk)
            names = [field.attname for field in Job._meta.concrete_fields]
            assert {name: getattr(job, name) for name in names} == {
                name: getattr(row, name) for name in names
            }
            assert (job.org, job.user, job.flow.queue) == (bob.org, bob, job.queue)

    def test_a_delay_counts_from_the_submission(self, bob: User, submit: Submit) -> None:
        job = submit(bob, delay=90)
        assert (job.status, job.queued_at) == (states.SCHEDULED, None)
        assert job.run_at - job.created_at == timedelta(seconds=90)
        ahead = settings.ORDERING.head_start(lane="normal", predicted_ms=None)
        assert job.rank - job.run_at.timestamp() == pytest.approx(ahead, abs=1e-5)
        assert submit(bob, delay=0).status == states.QUEUED

    def test_a_wrong_clock_of_the_submitter_moves_no_job(
        self, bob: User, submit: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = submit(bob)
        real = timezone.now
        monkeypatch.setattr(timezone, "now", lambda: real() + timedelta(hours=1))
        after = submit(bob)
        assert after.created_at - before.created_at < timedelta(minutes=10)
        assert after.rank - before.rank < 600

    def test_repeated_key_returns_the_first_job(self, bob: User, submit: Submit) -> None:
        first = submit(bob, idempotency_key="k1")
        again = submit(bob, idempotency_key="k1")
        assert (again.pk, first.was_created, again.was_created) == (first.pk, True, False)
        with pytest.raises(services.IdempotencyConflict):
            submit(bob, idempotency_key="k1", name="something else")
        assert Job.objects.count() == 1

    @pytest.mark.parametrize(
        "other",
        [
            {"delay": 1},
            {"queue": "night"},
            {"tags": ["a"]},
            {"concurrency_key": "k"},
            {"retry": {"base_s": 1}},
            {"soft_timeout_s": 1},
            {"memory_mb": 64},
            {"cpu_s": 1},
            {"max_retries": 0},
            {"timeout_s": 1},
            {"lane": "low"},
        ],
    )
    def test_every_field_belongs_to_the_body(self, bob: User, submit: Submit, other: dict[str, Any]) -> None:
        first = submit(bob, idempotency_key="k", **other)
        assert submit(bob, idempotency_key="k", **other).pk == first.pk
        with pytest.raises(services.IdempotencyConflict):
            submit(bob, idempotency_key="k")

    @pytest.mark.parametrize("days", [0, 2])
    @pytest.mark.parametrize("final", [True, False])
    def test_a_key_expires_once_its_job_is_final_and_old(
        self, bob: User, submit: Submit, days: int, final: bool
    ) -> None:
        first = submit(bob, idempotency_key="k")
        if final:
            services.cancel(job=first, user=bob)
        now = timezone.now() + timedelta(days=days)
        if not (final and days):
            assert submit(bob, idempotency_key="k", now=now).pk == first.pk
            return
        second = submit(bob, idempotency_key="k", name="another", now=now)
        first.refresh_from_db()
        assert (second.was_created, first.idempotency_key, first.status) == (True, None, states.CANCELLED)
        assert submit(bob, idempotency_key="k", name="another", now=now).pk == second.pk

    def test_keys_of_two_organisations_do_not_meet(self, bob: User, charlie: User, submit: Submit) -> None:
        assert submit(bob, idempotency_key="k").pk != submit(charlie, idempotency_key="k").pk


@pytest.mark.django_db(transaction=True)
class TestTransactions:
    @pytest.mark.usefixtures("prompt_hints")
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
        self, bob: User, submit: Submit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        cut = "SELECT pg_terminate_backend(pg_backend_pid()), %s::text[], %s::text[]"
        monkeypatch.setattr(notify, "NOTIFY", cut)
        with transaction.atomic():  # outside of one it goes with the job
            job = submit(bob)
        wait_until(lambda: "hint_lost" in caplog.text, message="the wake-up failed")
        assert Job.objects.get().pk == job.pk


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


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow])
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


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow])
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
            "delay": st.floats() | st.text() | st.integers(),
            "queue": st.text() | st.integers(),
            "tags": st.lists(st.text() | st.none()) | st.text(),
            "concurrency_key": st.text(),
            "retry": st.dictionaries(
                st.sampled_from(["base_s", "factor", "jitter"]), st.floats() | st.text()
            ),
            "soft_timeout_s": st.floats() | st.text(),
            "memory_mb": st.integers() | st.floats(),
        },
    )
)
def test_almost_right_submissions_never_raise_anything_else(values: dict[str, object]) -> None:
    try:
        submission.parse(values)
    except submission.SubmissionError as error:
        assert error.fields
