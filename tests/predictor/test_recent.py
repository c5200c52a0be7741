"""Predictions of the last moments are used again; what fails is not remembered."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from jobs.prediction import Prediction, PredictionRequest
from predictor.history import Ask
from predictor.recent import Recent
from predictor.selectors import ask_of
from tests.waiting import wait_until

ETL = PredictionRequest(1, "etl", "nightly")
MAIL = PredictionRequest(1, "http", "mail")


class Counting:
    """Answers with the number of the question, in milliseconds."""

    def __init__(self) -> None:
        self.asked: list[list[Ask]] = []
        self.threads: list[str] = []
        self.fails = False

    def __call__(self, asks: Sequence[Ask]) -> list[Prediction]:
        if self.fails:
            raise RuntimeError("no answer")
        self.asked.append(list(asks))
        self.threads.append(threading.current_thread().name)
        return [Prediction(float(len(self.asked)), 0.5, "counted") for _ in asks]


def make_older(recent: Recent, seconds: float) -> None:
    recent._answers = {ask: (at - seconds, answer) for ask, (at, answer) in recent._answers.items()}


def test_a_fresh_answer_stands_for_the_same_job_only() -> None:
    counting = Counting()
    recent = Recent(counting, 3600)
    assert [answer.runtime_ms for answer in recent([ETL, ETL])] == [1, 1]
    assert [answer.runtime_ms for answer in recent([MAIL, ETL])] == [2, 1]
    assert counting.asked == [[ask_of(ETL)], [ask_of(MAIL)]]


@pytest.mark.parametrize(
    "other",
    [
        {"user_id": 7},
        {"payload": {"rows": 5}},
        {"lane": "low"},
        {"timeout_s": 9.0},
        {"org_id": 2},
        {"name": "x"},
    ],
)
def test_whatever_the_prediction_depends_on_tells_jobs_apart(other: dict[str, Any]) -> None:
    counting = Counting()
    recent = Recent(counting, 3600)
    different = replace(ETL, **other)
    assert [answer.runtime_ms for answer in recent([ETL]) + recent([different])] == [1, 2]
    assert recent([different, ETL])[1].runtime_ms == 1
    assert counting.asked == [[ask_of(ETL)], [ask_of(different)]]


def test_a_batch_is_asked_for_without_repetitions() -> None:
    counting = Counting()
    recent = Recent(counting, 3600)
    same = [replace(ETL, payload={"rows": number % 3, "user": "bob"}) for number in range(30)]
    assert len(recent(same)) == 30
    assert [len(asked) for asked in counting.asked] == [3]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("predictor.recent.MOST_REMEMBERED", 2)
    counting = Counting()
    recent = Recent(counting, 3600)
    for name in ("a", "b", "c"):
        recent([replace(ETL, name=name)])
    assert [ask.job_name for ask in recent._answers] == ["c"]


def test_an_ageing_answer_is_given_and_asked_for_again_aside() -> None:
    counting = Counting()
    recent = Recent(counting, 3600)
    recent([ETL])
    make_older(recent, 4000)
    assert recent([ETL])[0].runtime_ms == 1
    wait_until(lambda: recent._answers[ask_of(ETL)][1].runtime_ms == 2, message="it was never renewed")
    assert counting.threads[1] == "predictions"


def test_renewals_have_a_way_of_their_own_and_pause_after_a_failure() -> None:
    asked_for, renewed = Counting(), Counting()
    recent = Recent(asked_for, 3600, renew=renewed)
    recent([ETL])
    make_older(recent, 2 * 3600)
    renewed.fails = True
    assert recent([ETL])[0].runtime_ms == 1
    wait_until(lambda: recent._renew_from > 0, message="the failure was not noticed")
    renewed.fails = False
    assert recent([ETL])[0].runtime_ms == 1
    assert not renewed.asked
    recent._renew_from = 0.0
    wait_until(lambda: bool(recent([ETL]) and renewed.asked), message="it was never renewed")
    assert len(asked_for.asked) == 1


def test_an_old_answer_is_not_given() -> None:
    counting = Counting()
    recent = Recent(counting, 3600)
    recent([ETL])
    make_older(recent, 40_000)
    assert recent([ETL])[0].runtime_ms == 2


def test_a_failure_is_raised_and_not_remembered() -> None:
    counting = Counting()
    counting.fails = True
    recent = Recent(counting, 3600)
    with pytest.raises(RuntimeError):
        recent([ETL])
    counting.fails = False
    assert recent([ETL])[0].runtime_ms == 1
