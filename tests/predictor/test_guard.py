"""A predictor that hangs, raises or answers nonsense costs a submission neither its time nor its job."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from prometheus_client import REGISTRY

from jobs import prediction, states
from jobs.models import Job
from jobs.prediction import NEUTRAL, Prediction, PredictionRequest
from orgs.models import User
from predictor import guard
from predictor.apps import PredictorConfig
from predictor.breaker import CLOSED, HALF_OPEN, OPEN, Breaker
from predictor.crew import AllStuck
from predictor.exceptions import BadPrediction, BreakerOpen
from predictor.guard import Guarded, WithFallback
from predictor.models import ModelVersion
from predictor.recent import Recent
from tests.waiting import wait_until

ETL = PredictionRequest(1, "etl", "nightly")
MAIL = PredictionRequest(1, "http", "mail")
NAN = Prediction(float("nan"), 0.5, "lstm")
GOOD = Prediction(7000.0, 0.3, "lstm", 7)
PATIENT_S = 30.0  # a deadline that no test is meant to reach


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Fickle:
    """A predictor that does what it is told next: raise, answer, or hang until `let_go`."""

    def __init__(self) -> None:
        self.next: Any = GOOD
        self.asked = 0
        self.threads: set[str] = set()
        self.let_go = threading.Event()

    def __call__(self, requests: Sequence[PredictionRequest]) -> list[Prediction]:
        self.asked += 1
        self.threads.add(threading.current_thread().name)
        if self.next == "hang":
            assert self.let_go.wait(PATIENT_S)
            return [GOOD] * len(requests)
        if isinstance(self.next, Exception):
            raise self.next
        return [self.next] * len(requests)


@pytest.fixture
def fickle() -> Iterator[Fickle]:
    predictor = Fickle()
    yield predictor
    predictor.let_go.set()


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class TestBreaker:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def told(self) -> list[str]:
        return []

    @pytest.fixture
    def breaker(self, clock: Clock, told: list[str]) -> Breaker:
        return Breaker(failures=5, open_s=60, clock=clock, changed=told.append)

    def fail(self, breaker: Breaker, times: int = 1) -> None:
        for _ in range(times):
            ticket = breaker.admit()
            assert ticket is not None
            breaker.failed(ticket)

    def succeed(self, breaker: Breaker) -> None:
        ticket = breaker.admit()
        assert ticket is not None
        breaker.succeeded(ticket)

    def test_five_failures_in_a_row_open_it(self, breaker: Breaker, told: list[str]) -> None:
        self.fail(breaker, 4)
        self.succeed(breaker)
        self.fail(breaker, 4)
        assert (breaker.state, told) == (CLOSED, [])
        self.fail(breaker)
        assert (breaker.state, told) == (OPEN, [OPEN])
        assert breaker.admit() is None

    def test_after_a_minute_one_trial_is_let_through(self, breaker: Breaker, clock: Clock) -> None:
        self.fail(breaker, 5)
        clock.now += 59.9
        assert breaker.admit() is None
        clock.now += 0.1
        assert breaker.admit() is not None
        assert breaker.admit() is None
        assert breaker.state == HALF_OPEN

    def test_a_trial_that_succeeds_closes_it(self, breaker: Breaker, clock: Clock, told: list[str]) -> None:
        self.fail(breaker, 5)
        clock.now += 60
        self.succeed(breaker)
        assert told == [OPEN, HALF_OPEN, CLOSED]
        self.fail(breaker, 4)
        assert breaker.state == CLOSED

    def test_a_trial_that_fails_opens_it_for_another_minute(
        self, breaker: Breaker, clock: Clock, told: list[str]
    ) -> None:
        self.fail(breaker, 5)
        clock.now += 60
        self.fail(breaker)
        clock.now += 59.9
        assert breaker.admit() is None
        clock.now += 0.1
        assert breaker.admit() is not None
        assert told == [OPEN, HALF_OPEN, OPEN, HALF_OPEN]

    def test_what_began_before_a_change_changes_nothing(self, breaker: Breaker, clock: Clock) -> None:
        slow, slower = breaker.admit(), breaker.admit()
        assert slow is not None
        assert slower is not None
        self.fail(breaker, 5)
        breaker.succeeded(slow)
        assert breaker.state == OPEN
        clock.now += 60
        trial = breaker.admit()
        assert trial is not None
        breaker.failed(slower)
        assert breaker.state == HALF_OPEN
        breaker.succeeded(trial)
        assert breaker.state == CLOSED


class TestGuarded:
    def test_answers_within_the_deadline_come_from_a_thread_aside(self, fickle: Fickle) -> None:
        guarded = Guarded(fickle, deadline_s=PATIENT_S)
        assert guarded([ETL, MAIL]) == [GOOD, GOOD]
        assert fickle.threads == {"prediction"}

    def test_without_a_deadline_it_is_called_directly(self, fickle: Fickle) -> None:
        assert Guarded(fickle, deadline_s=0)([ETL]) == [GOOD]
        assert fickle.threads == {threading.current_thread().name}

    def test_nothing_asked_nothing_called(self, fickle: Fickle) -> None:
        assert Guarded(fickle, deadline_s=PATIENT_S)([]) == []
        assert fickle.asked == 0

    @pytest.mark.parametrize("deadline_s", [0, PATIENT_S])
    @pytest.mark.parametrize(
        ("told", "raised", "reason"),
        [
            (RuntimeError("broken"), RuntimeError, "error"),
            (TimeoutError("of its own"), TimeoutError, "deadline"),
            (NAN, BadPrediction, "absurd"),
            (Prediction(float("inf"), 0.5, "lstm"), BadPrediction, "absurd"),
            (Prediction(-1.0, 0.5, "lstm"), BadPrediction, "absurd"),
            (Prediction(1.0, float("nan"), "lstm"), BadPrediction, "absurd"),
        ],
    )
    def test_failures_are_raised_and_counted(
        self, fickle: Fickle, deadline_s: float, told: Any, raised: type[Exception], reason: str
    ) -> None:
        fickle.next = told
        before = metric("smartqueue_prediction_failures_total", reason=reason)
        with pytest.raises(raised):
            Guarded(fickle, deadline_s=deadline_s)([ETL])
        assert metric("smartqueue_prediction_failures_total", reason=reason) == before + 1

    def test_too_few_answers_are_none(self) -> None:
        with pytest.raises(BadPrediction, match="1 predictions for 2 requests"):
            Guarded(lambda requests: [GOOD], deadline_s=0)([ETL, MAIL])

    def test_a_neutral_answer_is_an_answer(self, fickle: Fickle) -> None:
        fickle.next = NEUTRAL
        assert Guarded(fickle, deadline_s=0)([ETL]) == [NEUTRAL]

    def test_a_slow_one_is_waited_for_until_the_deadline_only(self, fickle: Fickle) -> None:
        fickle.next = "hang"
        with pytest.raises(TimeoutError):
            Guarded(fickle, deadline_s=0.01)([ETL])
        assert not fickle.let_go.is_set()

    def test_a_batch_has_longer(self, monkeypatch: pytest.MonkeyPatch, fickle: Fickle) -> None:
        monkeypatch.setattr(guard, "PER_REQUEST_S", 1.0)
        fickle.next = "hang"
        guarded = Guarded(fickle, deadline_s=0.001)
        waited: list[float] = []
        run = guarded._crew.run

        def noted(work: Any, wait_s: float) -> Any:
            waited.append(wait_s)
            fickle.let_go.set()
            return run(work, wait_s)

        monkeypatch.setattr(guarded._crew, "run", noted)
        assert guarded([ETL] * 30) == [GOOD] * 30
        assert waited == [pytest.approx(30.001)]

    def test_when_all_threads_are_stuck_nobody_waits(
        self, fickle: Fickle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fickle.next = "hang"
        guarded = Guarded(fickle, deadline_s=0.01, breaker=Breaker(failures=1000))
        while guarded._crew._stuck < guard.THREADS:  # a thread that has not begun in time is not stuck
            with pytest.raises(TimeoutError):
                guarded([ETL])
        monkeypatch.setattr(guarded, "_deadline_s", PATIENT_S)
        with pytest.raises(AllStuck):
            guarded([ETL])
        assert fickle.asked == guard.THREADS
        fickle.next = GOOD
        fickle.let_go.set()
        wait_until(lambda: guarded._crew._stuck == 0, message="the threads never came back")
        assert guarded([ETL]) == [GOOD]

    def test_five_failures_in_a_row_spare_the_predictor(
        self, fickle: Fickle, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock = Clock()
        guarded = Guarded(fickle, deadline_s=0, breaker=Breaker(clock=clock, changed=guard.show))
        fickle.next = RuntimeError("broken")
        with caplog.at_level(logging.INFO):
            for expected in [RuntimeError] * 5 + [BreakerOpen] * 5:
                with pytest.raises(expected):
                    guarded([ETL])
            assert (fickle.asked, metric("smartqueue_prediction_breaker")) == (5, 1.0)
            fickle.next = GOOD
            clock.now += 60
            assert guarded([ETL]) == [GOOD]
        assert metric("smartqueue_prediction_breaker") == 0.0
        said = [record.getMessage() for record in caplog.records]
        assert [line.rpartition("=")[2] for line in said if "prediction_breaker" in line] == [
            OPEN,
            HALF_OPEN,
            CLOSED,
        ]


class TestFallback:
    def test_base_runtime_for_what_was_never_answered(self, fickle: Fickle) -> None:
        fickle.next = RuntimeError("broken")
        etl, mail, other = WithFallback(fickle)([ETL, MAIL, PredictionRequest(1, "cobol", "x")])
        assert (etl.runtime_ms, etl.priority) == (3000.0, 0.5)
        assert (mail.runtime_ms, mail.priority) == (400.0, pytest.approx(1 / (1 + 400 / 3000)))
        assert (other.runtime_ms, other.priority) == (3000.0, 0.5)
        assert {answer.source for answer in (etl, mail, other)} == {"fallback"}

    def test_the_last_answer_for_the_same_org_type_and_name(self, fickle: Fickle) -> None:
        answering = WithFallback(fickle)
        answering([ETL])
        fickle.next = RuntimeError("broken")
        before = metric("smartqueue_prediction_fallbacks_total")
        low = PredictionRequest(1, "etl", "nightly", "low")
        found = answering([low, PredictionRequest(2, "etl", "nightly"), PredictionRequest(1, "etl", "x")])
        assert [answer.runtime_ms for answer in found] == [7000.0, 3000.0, 3000.0]
        assert (found[0].priority, found[0].source) == (0.3, "fallback")
        assert metric("smartqueue_prediction_fallbacks_total") == before + 3

    def test_the_same_failure_is_one_line_in_the_log(
        self, fickle: Fickle, caplog: pytest.LogCaptureFixture
    ) -> None:
        answering = WithFallback(Guarded(fickle, deadline_s=0))
        fickle.next = RuntimeError("broken")
        for _ in range(8):
            answering([ETL])
        said = [record.getMessage() for record in caplog.records]
        assert [line.partition(" ")[0] for line in said] == [
            "action=prediction_failed",
            "action=prediction_breaker",
        ]

    def test_a_neutral_answer_is_passed_on_and_not_remembered(self, fickle: Fickle) -> None:
        answering = WithFallback(fickle)
        fickle.next = NEUTRAL
        assert answering([ETL]) == [NEUTRAL]
        fickle.next = RuntimeError("broken")
        assert answering([ETL])[0].runtime_ms == 3000.0

    def test_what_is_remembered_is_bounded(self, fickle: Fickle, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(guard, "MOST_REMEMBERED", 2)
        answering = WithFallback(fickle)
        for name in ("a", "b", "c"):
            answering([PredictionRequest(1, "etl", name)])
        assert [name for _, _, name in answering._last] == ["c"]

    def test_a_fallback_is_not_remembered_as_a_prediction(self, fickle: Fickle) -> None:
        answering = WithFallback(Recent(Guarded(fickle, deadline_s=0), 3600))
        fickle.next = RuntimeError("broken")
        assert answering([ETL])[0].source == "fallback"
        fickle.next = GOOD
        assert answering([ETL]) == [GOOD]


@pytest.fixture
def registered() -> Iterator[Callable[..., Guarded]]:
    """`registered(predict)` stands in for the predictor, guarded as the real one is."""
    before = prediction._predictor

    def register(predict: prediction.Predictor, deadline_s: float) -> Guarded:
        guarded = Guarded(predict, deadline_s=deadline_s)
        prediction.register(WithFallback(guarded))
        return guarded

    yield register
    prediction.register(before)


@pytest.mark.django_db
class TestSubmit:
    @pytest.mark.parametrize("broken", ["hang", RuntimeError("broken"), NAN])
    def test_a_broken_predictor_costs_the_prediction_only(
        self, bob: User, submit: Callable[..., Job], fickle: Fickle, registered: Any, broken: Any
    ) -> None:
        guarded = registered(fickle, deadline_s=0.04 if broken == "hang" else PATIENT_S)
        fickle.next = broken
        made = [submit(bob, type="http", payload={"url": "http://127.0.0.1/"}) for _ in range(8)]
        assert not fickle.let_go.is_set()
        assert {job.status for job in made} == {states.QUEUED}
        stored = Job.objects.values_list("prediction_source", "predicted_runtime_ms")
        assert list(stored) == [("fallback", 400.0)] * 8
        assert guarded.breaker.state == OPEN
        assert fickle.asked <= guard.THREADS if broken == "hang" else fickle.asked == 5

    def test_what_was_known_stands_in(
        self, bob: User, submit: Callable[..., Job], fickle: Fickle, registered: Any
    ) -> None:
        registered(fickle, deadline_s=PATIENT_S)
        assert submit(bob).prediction_source == "lstm"
        fickle.next = RuntimeError("broken")
        other_lane = submit(bob, lane="low")
        assert (other_lane.prediction_source, other_lane.predicted_runtime_ms) == ("fallback", 7000.0)


@pytest.mark.django_db(transaction=True)
def test_sessions_of_the_threads_are_their_own_and_end_with_them(fickle: Fickle) -> None:
    used: list[Any] = []

    def reading(requests: Sequence[PredictionRequest]) -> list[Prediction]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        used.append((connections["default"], connection.connection))
        return fickle(requests)

    guarded = Guarded(reading, deadline_s=PATIENT_S)
    assert guarded([ETL]) == [GOOD]
    [(of_thread, session)] = used
    assert of_thread is not connections["default"]
    assert "pool" not in of_thread.settings_dict["OPTIONS"]
    assert not session.closed
    guarded.close()
    wait_until(lambda: session.closed, message="the session went on")


@pytest.mark.django_db(transaction=True)
def test_the_real_predictor_answers_from_its_threads(
    cold_start: ModelVersion, bob: User, submit: Callable[..., Job], settings: Any
) -> None:
    settings.PREDICTION_DEADLINE_MS = PATIENT_S * 1000
    PredictorConfig.register()
    with CaptureQueriesContext(connection) as queries:
        job = submit(bob)
    assert (job.prediction_source, job.model_version) == ("cold_start", cold_start.pk)
    assert not [query["sql"] for query in queries if "predictor_" in query["sql"]]
