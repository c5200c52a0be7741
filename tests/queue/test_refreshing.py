"""The head of the queue is predicted anew, and only the head."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from jobs import refreshing
from jobs.heads import Heads
from jobs.models import Job
from jobs.prediction import NEUTRAL, Prediction, PredictionRequest, Predictor
from orgs.models import User
from tests.queue.claiming import InThread, Submit, claim, ids

pytestmark = pytest.mark.django_db(transaction=True)

Register = Callable[[Predictor | None], None]


def saying(**runtimes_s: float) -> Predictor:
    """A predictor that knows these names."""

    def predict(requests: Sequence[PredictionRequest]) -> list[Prediction]:
        return [
            Prediction(runtimes_s[request.name] * 1000, 0.5, "base", low_ms=None, high_ms=None)
            if request.name in runtimes_s
            else NEUTRAL
            for request in requests
        ]

    return predict


@pytest.fixture
def job(bob: User, submit: Submit, predictor: Register) -> Job:
    predictor(saying(report=1.0, mail=2.0))
    return submit(bob, name="report")


def test_a_prediction_that_changed_by_more_than_a_quarter_moves_the_job(
    job: Job, bob: User, submit: Submit, predictor: Register
) -> None:
    shorter = submit(bob, name="mail")
    assert refreshing.refresh_head() == []
    predictor(saying(report=9.0, mail=2.0))
    assert refreshing.refresh_head() == [bob.org_id]
    moved = Job.objects.get(pk=job.pk)
    assert (moved.predicted_runtime_ms, moved.prediction_source) == (9000.0, "base")
    assert moved.rank > job.rank
    assert moved.run_at == job.run_at
    assert ids(claim(limit=1)) == [shorter.pk]


@pytest.mark.parametrize("now", [0.81, 1.0, 1.24])
def test_smaller_changes_write_nothing(job: Job, predictor: Register, now: float) -> None:
    predictor(saying(report=now))
    assert refreshing.refresh_head() == []
    assert Job.objects.get(pk=job.pk).predicted_runtime_ms == 1000.0


def test_a_predictor_that_has_nothing_to_say_changes_nothing(job: Job, predictor: Register) -> None:
    predictor(None)
    assert refreshing.refresh_head() == []
    assert Job.objects.get(pk=job.pk).rank == job.rank


def test_a_worker_that_remembers_the_queue_finds_a_job_that_moved_to_the_front(
    job: Job, bob: User, submit: Submit, predictor: Register
) -> None:
    heads = Heads()
    first, last = submit(bob, name="mail"), job
    predictor(saying(report=50.0))
    refreshing.refresh_head()
    assert ids(claim(limit=1, heads=heads)) == [first.pk]
    third = submit(bob, name="other")
    Job.objects.filter(pk=third.pk).update(rank=job.rank + 2000)
    predictor(saying(report=0.01))
    refreshing.refresh_head()
    assert ids(claim(limit=1, heads=heads)) == [last.pk]


def test_a_job_that_is_being_claimed_is_left_alone(job: Job, predictor: Register) -> None:
    from django.db import transaction

    predictor(saying(report=9.0))
    with transaction.atomic():
        claim()
        assert InThread(refreshing.refresh_head).answer() == []
    assert Job.objects.get(pk=job.pk).predicted_runtime_ms == 1000.0


def test_no_more_than_the_head_is_touched(
    job: Job, bob: User, submit: Submit, predictor: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refreshing, "HEAD", 5)
    for _ in range(8):
        submit(bob, name="report")
    predictor(saying(report=4.0))
    assert len(refreshing.refresh_head()) == 5
    assert Job.objects.filter(predicted_runtime_ms=4000.0).count() == 5


def test_the_head_is_what_begins_first_in_whatever_flow(
    bob: User, submit: Submit, predictor: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More flows than jobs in the head, and the newest of them, with the highest number, begin first."""
    monkeypatch.setattr(refreshing, "HEAD", 4)
    predictor(saying(report=1.0))
    jobs = [submit(bob, name="report", concurrency_key=f"k{number // 2}") for number in range(12)]
    for number, job in enumerate(jobs):
        Job.objects.filter(pk=job.pk).update(rank=1000.0 - number // 2 * 10 + number % 2)
    predictor(saying(report=9.0))
    refreshing.refresh_head()
    refreshed = Job.objects.filter(predicted_runtime_ms=9000.0).order_by("pk")
    assert list(refreshed.values_list("pk", flat=True)) == [job.pk for job in jobs[8:]]


def test_no_more_flows_are_looked_at_than_there_may_be(
    bob: User, submit: Submit, predictor: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refreshing, "FLOWS", 3)
    predictor(saying(report=1.0))
    for number in range(5):
        submit(bob, name="report", concurrency_key=f"k{number}")
    predictor(saying(report=9.0))
    assert len(refreshing.refresh_head()) == 3
