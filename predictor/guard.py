"""Between the predictor and a submission: a slow, failing or absurd predictor costs neither time nor the job.

`Guarded` bounds how long one waits and leaves a predictor in peace that keeps failing; what it has no answer
to it raises. `WithFallback` answers in its place. Put together in predictor.apps, with the memory of the
last moments (predictor.recent) between them, so that fallbacks are not remembered as predictions.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from prometheus_client import Counter, Gauge

from jobs.prediction import NEUTRAL, Prediction, PredictionRequest, Predictor, usable
from predictor import coldstart
from predictor.breaker import CLOSED, HALF_OPEN, OPEN, Breaker
from predictor.crew import AllStuck, Crew
from predictor.exceptions import BadPrediction, BreakerOpen

logger = logging.getLogger(__name__)

THREADS = 2  # each holds a connection while it is stuck, and the pool may have no more than four
MOST_REMEMBERED = 20_000
PER_REQUEST_S = 0.000_25  # what each request of a batch adds to the deadline
Key = tuple[int, str, str]  # org id, type, name
Asked = Callable[
    [Sequence[Any]], list[Prediction]
]  # a Predictor, or what answers asks of the predictor's own

BREAKER = Gauge(
    "smartqueue_prediction_breaker", "0 closed, 1 open: no prediction is asked for, 0.5 one is tried."
)
FAILURES = Counter("smartqueue_prediction_failures_total", "Predictions that failed here.", ["reason"])
FALLBACKS = Counter("smartqueue_prediction_fallbacks_total", "Fallbacks given in place of predictions.")

_SHOWN = {CLOSED: 0.0, HALF_OPEN: 0.5, OPEN: 1.0}


class Guarded:
    """Asks as `predict` is asked, and waits for it at most `deadline_s` seconds, and PER_REQUEST_S longer for each
    request; 0: calls it directly, however long.

    Raises TimeoutError or AllStuck for a slow one, BadPrediction for an absurd answer, BreakerOpen while it
    is left in peace, and what `predict` raises.
    """

    def __init__(
        self, predict: Asked, *, deadline_s: float, breaker: Breaker | None = None, options: str = ""
    ) -> None:
        """`options`: of PostgreSQL, for the sessions in which `predict` runs."""
        self._predict = predict
        self._deadline_s = deadline_s
        self._crew = Crew(THREADS, "prediction", options)
        self.breaker = breaker or Breaker(changed=show)

    def close(self) -> None:
        """Nothing is asked of it any more."""
        self._crew.close()

    def __call__(self, requests: Sequence[Any]) -> list[Prediction]:
        if not requests:
            return []
        ticket = self.breaker.admit()
        if ticket is None:
            raise BreakerOpen
        try:
            answers = self._ask(requests)
        except BaseException as error:
            FAILURES.labels(_reason(error)).inc()
            self.breaker.failed(ticket)
            raise
        self.breaker.succeeded(ticket)
        return answers

    def _ask(self, requests: Sequence[Any]) -> list[Prediction]:
        if self._deadline_s:
            deadline_s = self._deadline_s + PER_REQUEST_S * len(requests)
            answers = self._crew.run(lambda: self._predict(requests), deadline_s)
        else:
            answers = self._predict(requests)
        if len(answers) != len(requests):
            raise BadPrediction(f"{len(answers)} predictions for {len(requests)} requests")
        if not any(map(usable, answers)):
            raise BadPrediction(f"an absurd prediction: {answers[0]}")
        return answers


class WithFallback:
    """A `Predictor` that answers where `predict` raises: with what was last said of the same organisation,
    type and name, else with the base runtime of the type."""

    def __init__(self, predict: Predictor) -> None:
        self._predict = predict
        self._last: dict[Key, Prediction] = {}
        self._lock = threading.Lock()
        self._told = ""

    def __call__(self, requests: Sequence[PredictionRequest]) -> list[Prediction]:
        try:
            answers = self._predict(requests)
        except Exception as error:
            self._tell(error)
            FALLBACKS.inc(len(requests))
            return [self._fallback(request) for request in requests]
        # One absurd answer, of one job's odd history, is no failure of the predictor.
        answers = [
            answer if usable(answer) else self._fallback(request)
            for request, answer in zip(requests, answers, strict=True)
        ]
        self._remember(requests, answers)
        return answers

    def _tell(self, error: Exception) -> None:
        """The same failure at every submission is one line; that the breaker is open is told when it opens."""
        text = repr(error)
        if text == self._told or isinstance(error, BreakerOpen):
            return
        self._told = text
        if isinstance(error, TimeoutError) and not self._last:
            # A process that has just begun loads the model and connects.
            logger.info("action=prediction_not_ready: the fallback answers")
        else:
            logger.warning("action=prediction_failed error=%s: the fallback answers", text)

    def _fallback(self, request: PredictionRequest) -> Prediction:
        last = self._last.get(_key(request))
        if last is not None:
            return replace(last, source=NEUTRAL.source)
        runtime_ms = coldstart.base_ms(request.type)
        return replace(NEUTRAL, runtime_ms=runtime_ms, priority=coldstart.priority(runtime_ms))

    def _remember(self, requests: Sequence[PredictionRequest], answers: Sequence[Prediction]) -> None:
        said = {
            _key(request): answer
            for request, answer in zip(requests, answers, strict=True)
            if answer.runtime_ms is not None
        }
        with self._lock:
            if len(self._last) + len(said) > MOST_REMEMBERED:
                self._last.clear()
            self._last |= said


def show(state: str) -> None:
    """A change of the breaker, for people: one line in the log, and the gauge."""
    BREAKER.set(_SHOWN[state])
    level = logging.WARNING if state == OPEN else logging.INFO
    logger.log(level, "action=prediction_breaker state=%s", state)


def _key(request: PredictionRequest) -> Key:
    return (request.org_id, request.type, request.name)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError | AllStuck):
        return "deadline"
    return "absurd" if isinstance(error, BadPrediction) else "error"
