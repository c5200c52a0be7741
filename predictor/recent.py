"""Predictions of the last moments, so that a submission seldom waits for one.

Between the predictor and the queue: registered by predictor.apps in jobs.prediction. Programs submit the same few
jobs again and again, and what is predicted of them changes only as attempts end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from django.db import connection

from jobs.prediction import Prediction, PredictionRequest
from predictor.history import Ask
from predictor.selectors import ask_of

logger = logging.getLogger(__name__)

USABLE = 10  # times as long as it is fresh
MOST_REMEMBERED = 20_000
Answers = Callable[[Sequence[Ask]], list[Prediction]]  # to asks without a time


class Recent:
    """A `Predictor` that remembers what `answer` said to the same asks.

    For `fresh_s` seconds an answer stands. Up to USABLE times as long it is still given, and asked for
    again behind the caller's back, of `renew`, which may take its time; then the caller waits for a new one.
    Failures are not remembered; after one of `renew` it is left in peace for `fresh_s` seconds.
    """

    def __init__(self, answer: Answers, fresh_s: float, renew: Answers | None = None) -> None:
        self._answer = answer
        self._renewed_by = renew or answer
        self._renew_from = 0.0
        self._fresh_s = fresh_s
        self._answers: dict[Ask, tuple[float, Prediction]] = {}
        self._renewing = threading.Lock()

    def __call__(self, requests: Sequence[PredictionRequest]) -> list[Prediction]:
        oldest = time.monotonic() - USABLE * self._fresh_s
        asks = [ask_of(request) for request in requests]
        different = dict.fromkeys(asks)
        answers = {
            ask: found
            for ask in different
            if (found := self._answers.get(ask)) is not None and found[0] >= oldest
        }
        if missing := [ask for ask in different if ask not in answers]:
            answers |= self._ask(missing, self._answer)
        fresh_since = time.monotonic() - self._fresh_s
        if ageing := [ask for ask, (at, _) in answers.items() if at < fresh_since]:
            self._renew(ageing)
        return [answers[ask][1] for ask in asks]

    def _ask(self, asks: Sequence[Ask], answer: Answers) -> dict[Ask, tuple[float, Prediction]]:
        at = time.monotonic()
        answers = {ask: (at, found) for ask, found in zip(asks, answer(asks), strict=True)}
        if len(self._answers) + len(answers) > MOST_REMEMBERED:
            self._answers.clear()
        self._answers |= answers
        return answers

    def _renew(self, asks: Sequence[Ask]) -> None:
        """By one thread at a time; what it does not come to is renewed with the next submission."""
        if time.monotonic() >= self._renew_from and self._renewing.acquire(blocking=False):
            try:
                threading.Thread(
                    target=self._renew_aside, args=(asks,), name="predictions", daemon=True
                ).start()
            except BaseException:
                self._renewing.release()
                raise

    def _renew_aside(self, asks: Sequence[Ask]) -> None:
        try:
            self._ask(asks, self._renewed_by)
        except Exception:
            self._renew_from = time.monotonic() + self._fresh_s
            logger.warning("action=prediction_not_renewed", exc_info=True)
        finally:
            connection.close()
            self._renewing.release()
