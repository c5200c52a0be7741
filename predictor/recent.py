"""Predictions of the last moments, so that a submission seldom waits for one.

Between the predictor and the queue: registered by predictor.apps in jobs.prediction. A prediction is asked for
per organisation, type, name and lane, and changes only as attempts end; programs submit the same few again and
again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from django.db import connection

from jobs.prediction import Prediction, PredictionRequest, Predictor

logger = logging.getLogger(__name__)

USABLE = 10  # times as long as it is fresh
MOST_REMEMBERED = 20_000


class Recent:
    """A `Predictor` that remembers what `predict` answered.

    For `fresh_s` seconds an answer stands. Up to USABLE times as long it is still given, and asked for
    again behind the caller's back; then the caller waits for a new one. Failures are not remembered.
    """

    def __init__(self, predict: Predictor, fresh_s: float) -> None:
        self._predict = predict
        self._fresh_s = fresh_s
        self._answers: dict[PredictionRequest, tuple[float, Prediction]] = {}
        self._renewing = threading.Lock()

    def __call__(self, requests: Sequence[PredictionRequest]) -> list[Prediction]:
        oldest = time.monotonic() - USABLE * self._fresh_s
        answers = {
            request: found
            for request in requests
            if (found := self._answers.get(request)) is not None and found[0] >= oldest
        }
        if missing := [request for request in dict.fromkeys(requests) if request not in answers]:
            answers |= self._ask(missing)
        fresh_since = time.monotonic() - self._fresh_s
        if ageing := [request for request, (at, _) in answers.items() if at < fresh_since]:
            self._renew(ageing)
        return [answers[request][1] for request in requests]

    def _ask(self, requests: list[PredictionRequest]) -> dict[PredictionRequest, tuple[float, Prediction]]:
        at = time.monotonic()
        answers = {
            request: (at, answer) for request, answer in zip(requests, self._predict(requests), strict=True)
        }
        if len(self._answers) + len(answers) > MOST_REMEMBERED:
            self._answers.clear()
        self._answers |= answers
        return answers

    def _renew(self, requests: list[PredictionRequest]) -> None:
        """By one thread at a time; what it does not come to is renewed with the next submission."""
        if self._renewing.acquire(blocking=False):
            try:
                threading.Thread(
                    target=self._renew_aside, args=(requests,), name="predictions", daemon=True
                ).start()
            except BaseException:
                self._renewing.release()
                raise

    def _renew_aside(self, requests: list[PredictionRequest]) -> None:
        try:
            self._ask(requests)
        except Exception:
            logger.warning("action=prediction_not_renewed", exc_info=True)
        finally:
            connection.close()
            self._renewing.release()
