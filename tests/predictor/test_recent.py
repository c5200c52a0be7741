"""Predictions of the last moments are used again; what fails is not remembered."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from jobs.prediction import Prediction, PredictionRequest
from predictor.recent import Recent
from tests.waiting import wait_until

ETL = PredictionRequest(1, "etl", "nightly")
MAIL = PredictionRequest(1, "http", "mail")


class Counting:
    """Answers with the number of the question, in milliseconds."""

    def __init__(self) -> None:
        self.asked: list[list[PredictionRequest]] = []
        self.threads: list[str] = []
        self.fails = False

    def __call__(self, requests: Sequence[PredictionRequest]) -> list[Prediction]:
        if self.fails:
            raise RuntimeError("no answer")
        self.asked.append(list(requests))
        self.threads.append(threading.current_thread().name)
        return [Prediction(float(len(self.asked)), 0.5, "counted") for _ in requests]


def test_a_fresh_answer_stands_for_the_same_job_only() -> None:
    counting = Counting()
    recent = Recent(counting, 3600)
    assert [answer.runtime_ms for answer in recent([ETL, ETL])] == [1, 1]
    assert [answer.runtime_ms for answer in recent([MAIL, ETL])] == [2, 1]
    assert counting.asked == [[ETL], [MAIL]]


def test_an_ageing_answer_is_given_and_asked_for_again_aside() -> None:
    counting = Counting()
    recent = Recent(counting, 3600)
    recent([ETL])
    recent._answers[ETL] = (time.monotonic() - 4000, recent._answers[ETL][1])
    assert recent([ETL])[0].runtime_ms == 1
    wait_until(lambda: recent._answers[ETL][1].runtime_ms == 2, message="it was never renewed")
    assert counting.threads[1] == "predictions"


def test_an_old_answer_is_not_given() -> None:
    counting = Counting()
    recent = Recent(counting, 3600)
    recent([ETL])
    recent._answers[ETL] = (time.monotonic() - 40_000, recent._answers[ETL][1])
    assert recent([ETL])[0].runtime_ms == 2


def test_a_failure_is_raised_and_not_remembered() -> None:
    counting = Counting()
    counting.fails = True
    recent = Recent(counting, 3600)
    with pytest.raises(RuntimeError):
        recent([ETL])
    counting.fails = False
    assert recent([ETL])[0].runtime_ms == 1
