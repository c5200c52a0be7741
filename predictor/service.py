"""The predictor as the queue and the API see it. Keeps the network in force in this process.

Registered in jobs.prediction, which turns whatever is raised here into the neutral priority.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from django.db import connection, transaction

from jobs.prediction import Prediction, PredictionRequest
from predictor import coldstart, selectors, store
from predictor.estimate import COLD_START, Estimate, estimate
from predictor.exceptions import NoActiveModel
from predictor.history import DONE, Ask, Past, Run
from predictor.lstm import Network
from predictor.models import ModelVersion


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One earlier job of a what-if question; without a runtime only its type is known."""

    job_type: str
    runtime_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Model:
    version: int
    network: Network | None


_loaded: Model | None = None


def predict(requests: Sequence[PredictionRequest]) -> list[Prediction]:
    """One prediction per request, in order. Raises PredictorError or a database error."""
    if not requests:
        return []
    with _shielded():
        known = selectors.known_for(requests)
        model = _model(known.version)
    asks = [Ask(request.org_id, request.type, request.name, request.lane, known.at) for request in requests]
    estimates = estimate(model.network, [(ask, known.book.past(ask)) for ask in asks])
    return [_prediction(answer, model) for answer in estimates]


def predict_for_history(job_type: str, history: Sequence[HistoryItem]) -> Prediction:
    """What a job of this type would be predicted after `history` (newest last), stored runs left aside.

    Where no item gives a runtime of this type the cold start answers, from the last three types. Raises
    PredictorError.
    """
    active = ModelVersion.objects.filter(active=True).values_list("pk", flat=True).first()
    model = _model(active)
    runs = _back_to_back(history)
    ask = Ask(0, job_type, "", "normal", time.time())
    of_type = [run for run in runs if run.job_type == job_type]
    if of_type:
        return _prediction(estimate(model.network, [(ask, Past(of_type, runs))])[0], model)
    runtime_ms = coldstart.predicted_ms(job_type, [item.job_type for item in history])
    return _prediction(Estimate(runtime_ms, COLD_START), model)


def _model(version: int | None) -> Model:
    """The version in force, loaded once per process."""
    global _loaded
    if version is None:
        raise NoActiveModel
    model = _loaded
    if model is None or model.version != version:
        model = _loaded = Model(version, store.load(version))
    return model


def _shielded() -> AbstractContextManager[None]:
    """Inside a transaction, a savepoint: a failed read must not take the caller's submission with it."""
    return transaction.atomic() if connection.in_atomic_block else nullcontext()


def _prediction(answer: Estimate, model: Model) -> Prediction:
    return Prediction(
        runtime_ms=answer.runtime_ms,
        priority=coldstart.priority(answer.runtime_ms),
        source=answer.source,
        model_version=model.version,
    )


def _back_to_back(history: Sequence[HistoryItem]) -> list[Run]:
    """The items with a runtime as runs that followed each other, the last one ending now."""
    runs: list[Run] = []
    ended_at = time.time()
    for item in reversed(history):
        if item.runtime_ms is not None:
            runs.append(Run(0, item.job_type, "", "normal", DONE, item.runtime_ms, ended_at))
            ended_at -= item.runtime_ms / 1000
    return runs[::-1]
