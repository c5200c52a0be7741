"""Many jobs in one call: one prediction, one statement, one answer for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs import services, submission, submitting
from jobs.models import Job, JobEvent
from jobs.prediction import Prediction
from orgs.models import User
from tests.queue.submitting import NOOP, many

Submit = Callable[..., Job]


@pytest.mark.django_db
class TestMany:
    def test_people_of_several_organisations_at_once(self, bob: User, charlie: User) -> None:
        def asked(user: User, **fields: Any) -> services.Asked:
            assert user.org is not None
            return services.Asked(user.org, user, submission.parse({**NOOP, **fields}))

        answers = services.submit_each(
            [
                asked(bob, idempotency_key="k"),
                asked(charlie, idempotency_key="k"),
                asked(bob, idempotency_key="k"),
                asked(charlie, idempotency_key="k", name="other"),
                asked(bob, queue="night"),
            ]
        )
        first, second, again, refused, last = answers
        assert isinstance(refused, services.IdempotencyConflict)
        jobs = [first, second, again, last]
        assert [job.org for job in jobs] == [bob.org, charlie.org, bob.org, bob.org]
        assert [job.was_created for job in jobs] == [True, True, False, True]
        assert first.pk == again.pk
        assert [(job.flow.org, job.flow.queue) for job in (first, second, last)] == [
            (bob.org, "default"),
            (charlie.org, "default"),
            (bob.org, "night"),
        ]
        events = JobEvent.objects.order_by("job_id").values_list("org_id", "actor")
        assert list(events) == [(job.org_id, f"user:{job.user_id}") for job in (first, second, last)]

    def test_predictions_of_a_batch_are_asked_for_at_once(self, bob: User, predictor: Any) -> None:
        asked = []

        def predict(requests: Any) -> list[Prediction]:
            asked.append([request.name for request in requests])
            return [Prediction(float(len(request.name)), 0.5, "lstm") for request in requests]

        predictor(predict)
        names = ["a", "bb", "a", "bb", "ccc"]
        many(bob, *({"name": name} for name in names))
        assert asked == [names]
        assert list(Job.objects.order_by("pk").values_list("name", "predicted_runtime_ms")) == [
            (name, float(len(name))) for name in names
        ]

    def test_replays_name_the_jobs_that_they_repeat(self, bob: User, submit: Submit) -> None:
        first = submit(bob)
        answers = services.submit_many(
            org=bob.org, user=None, submissions=[NOOP, {}, NOOP], replay_of=[first.pk, first.pk, None]
        )
        assert [answer.status for answer in answers] == ["created", "refused", "created"]
        replay, other = Job.objects.filter(user=None).order_by("pk")
        assert (replay.replay_of, other.replay_of) == (first, None)
        assert str(first.pk) in replay.events.get().reason
        assert replay.events.get().actor == "system"

    def test_first_job_of_a_key_that_vanishes_meanwhile_is_asked_for_again(
        self, bob: User, submit: Submit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = submit(bob, idempotency_key="k")
        store = submitting.store

        def store_then_delete(*args: Any, **options: Any) -> Any:
            stored = store(*args, **options)
            Job.objects.filter(pk=first.pk).delete()
            return stored

        monkeypatch.setattr(submitting, "store", store_then_delete)
        second = submit(bob, idempotency_key="k")
        assert (second.was_created, second.pk == first.pk) == (True, False)

    def test_nothing_to_submit(self, bob: User) -> None:
        assert many(bob) == []

    def test_a_batch_is_one_statement(
        self, bob: User, predictor: Any, django_assert_num_queries: Any
    ) -> None:
        predictor(None)
        many(bob, {})
        sent: list[str] = []
        run = submitting.rows_of
        with pytest.MonkeyPatch.context() as patch, django_assert_num_queries(0):
            patch.setattr(submitting, "rows_of", lambda *args: (sent.append(args[0]), run(*args))[1])
            many(bob, *({"idempotency_key": str(number)} for number in range(100)))
        assert len(sent) == 1
        assert Job.objects.count() == JobEvent.objects.count() == 101
