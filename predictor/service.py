"""The predictor as the queue and the API see it. Keeps the network in force in this process.

Registered in jobs.prediction, which turns whatever is raised here into the neutral priority. What it
reads is bounded in time, because submissions wait for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction

from jobs.prediction import NEUTRAL, Prediction, PredictionRequest
from predictor import coldstart, selectors, store
from predictor.estimate import COLD_START, Estimate, estimate
from predictor.exceptions import NoActiveModel, PredictorError
from predictor.history import DONE, Ask, Past, Run
from predictor.lstm import Network
from predictor.models import ModelVersion

logger = logging.getLogger(__name__)

STATEMENT_TIMEOUT_MS = 200
LOCK_TIMEOUT_MS = 100
_LIMITS = (
    f"SELECT set_config('statement_timeout', '{STATEMENT_TIMEOUT_MS}', true),"
    f" set_config('lock_timeout', '{LOCK_TIMEOUT_MS}', true)"
)


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One earlier job of a what-if question; without a runtime only its type is known."""

    job_type: str
    runtime_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """What was made of the active version (None: there is none). Unusable ones are kept as well, so that
    they are read, and complained of, once and not at each submission."""

    version: int | None
    network: Network | None
    usable: bool


_loaded: Model | None = None
_absurd: int | None = None  # the last version that was complained of


def predict(requests: Sequence[PredictionRequest]) -> list[Prediction]:
    """One prediction per request, in order; NEUTRAL without a usable model. Raises a database error, also
    when the read takes longer than STATEMENT_TIMEOUT_MS."""
    if not requests:
        return []
    known = _known(requests)
    model = _model(known.version)
    if not model.usable:
        return [NEUTRAL] * len(requests)
    asks = [Ask(request.org_id, request.type, request.name, request.lane, known.at) for request in requests]
    estimates = estimate(model.network, [(ask, known.book.past(ask)) for ask in asks])
    return [_prediction(answer, model) for answer in estimates]


def predict_for_history(job_type: str, history: Sequence[HistoryItem]) -> Prediction:
    """What a job of this type would be predicted after `history` (newest last), stored runs left aside.

    Where no item gives a runtime of this type the cold start answers, from the last three types. NEUTRAL
    without a usable model; raises as `predict` does.
    """
    with _bounded():
        version = ModelVersion.objects.filter(active=True).values_list("pk", flat=True).first()
    model = _model(version)
    if not model.usable:
        return NEUTRAL
    runs = _back_to_back(history)
    ask = Ask(0, job_type, "", "normal", time.time())
    of_type = [run for run in runs if run.job_type == job_type]
    if of_type:
        return _prediction(estimate(model.network, [(ask, Past(of_type, runs))])[0], model)
    runtime_ms = coldstart.predicted_ms(job_type, [item.job_type for item in history])
    return _prediction(Estimate(runtime_ms, COLD_START), model)


def _known(requests: Sequence[PredictionRequest]) -> selectors.Known:
    """Outside a transaction the limits and the read are one message, which is a transaction of its own."""
    if connection.in_atomic_block:
        with _bounded():
            return selectors.known_for(requests)
    return selectors.known_for(requests, after=_LIMITS)


@contextmanager
def _bounded() -> Iterator[None]:
    """Reads within the limits of time; inside a transaction, in a savepoint, so that a failed read does
    not take the caller's submission with it."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_LIMITS)
        yield
        # Released, a savepoint would leave its limits to the rest of the caller's transaction.
        transaction.set_rollback(True)


def _model(version: int | None) -> Model:
    """What is made of the active version, once per process until another one is active."""
    global _loaded
    model = _loaded
    if model is None or model.version != version:
        model = _loaded = _load(version)
    return model


def _load(version: int | None) -> Model:
    try:
        if version is None:
            raise NoActiveModel
        with _bounded():
            return Model(version, store.load(version), usable=True)
    except PredictorError as error:
        logger.error(
            "action=no_usable_model version=%s error=%r: jobs get the neutral priority until another "
            "version is active",
            version,
            str(error),
        )
        return Model(version, None, usable=False)


def _prediction(answer: Estimate | None, model: Model) -> Prediction:
    if answer is None:
        _complain(model)
        return NEUTRAL
    return Prediction(
        runtime_ms=answer.runtime_ms,
        priority=coldstart.priority(answer.runtime_ms),
        source=answer.source,
        model_version=model.version,
    )


def _complain(model: Model) -> None:
    """Once per version: absurd answers come at every submission or at many."""
    global _absurd
    if _absurd != model.version:
        _absurd = model.version
        logger.warning(
            "action=absurd_correction version=%s: jobs it is absurd for get the neutral priority",
            model.version,
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
