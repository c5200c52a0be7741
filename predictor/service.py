"""The predictor as the queue and the API see it. Keeps the network in force in this process.

Asked through predictor.guard, which bounds the wait and answers for it where it raises. What it reads is bounded in
time as well, because its threads are few.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from django.db import connection, transaction

from jobs.database import has_own_session, sessions_are_ours
from jobs.prediction import Prediction, PredictionRequest
from orgs import walls
from predictor import coldstart, selectors, store
from predictor.estimate import COLD_START, Estimate, Knowledge, Origin, Question, estimate
from predictor.estimate import origin as estimate_origin
from predictor.exceptions import NoActiveModel, PredictorError
from predictor.history import DONE, Ask, Book, Run
from predictor.models import ModelVersion
from predictor.shadow import Shadow

logger = logging.getLogger(__name__)

STATEMENT_TIMEOUT_MS = 200
FEW = 200  # jobs that the limits of a session are enough for
PER_ASK_MS = 0.1  # longer for each job of a batch
LOCK_TIMEOUT_MS = 100
# Every part of what is read has an index for it, the jobs one in their order. On statistics from before a queue
# filled up the planner would rather read all of it and sort. Before PostgreSQL 18 what is off and yet needed counts
# as so dear that the statement would be compiled first.
PLANNER = {"enable_sort": "off", "enable_seqscan": "off", "jit": "off"}


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One earlier job of a what-if question; without a runtime only its type is known."""

    job_type: str
    runtime_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was made of the active version (None: there is none). Of one that cannot be used that is nothing: then
    base and cold start answer, and `shown` is None. It is read, and complained of, once."""

    version: int | None
    knowledge: Knowledge
    shown: int | None


_loaded: Loaded | None = None
_absurd: int | None = None  # the last version that was complained of


def predict(requests: Sequence[PredictionRequest]) -> list[Prediction]:
    """One prediction per request, in order. Raises a database error, also when the read takes longer than
    STATEMENT_TIMEOUT_MS (and PER_ASK_MS for each)."""
    return answer([selectors.ask_of(request) for request in requests])


def answer(asks: Sequence[Ask]) -> list[Prediction]:
    """As `predict`, of requests that were made asks of, without a time."""
    if not asks:
        return []
    known = _known(asks)
    model = _model(known.version)
    questions = [known.question(replace(ask, at=known.at)) for ask in asks]
    return [_prediction(found, model) for found in estimate(model.knowledge, questions)]


def origin(request: PredictionRequest) -> tuple[Question, Origin, Prediction]:
    """What is known of one job at this moment, what is made of it, and the prediction. Raises as `predict` does."""
    ask = selectors.ask_of(request)
    known = _known([ask])
    model = _model(known.version)
    question = known.question(replace(ask, at=known.at))
    found = estimate_origin(model.knowledge, question)
    return question, found, _prediction(found.estimate, model)


def predict_for_history(job_type: str, history: Sequence[HistoryItem]) -> Prediction:
    """What a job of this type would be predicted after `history` (newest last), stored runs left aside.

    Where no item gives a runtime of this type the cold start answers, from the last three types. Raises as
    `predict` does.
    """
    with _bounded():
        version = ModelVersion.objects.filter(active=True).values_list("pk", flat=True).first()
        overall = selectors.overall_trust()
    model = _model(version)
    if any(item.job_type == job_type and item.runtime_ms is not None for item in history):
        return _prediction(estimate(model.knowledge, [_what_if(job_type, history, overall)])[0], model)
    runtime_ms = coldstart.predicted_ms(job_type, [item.job_type for item in history])
    return _prediction(Estimate(runtime_ms, COLD_START), model)


def _known(asks: Sequence[Ask]) -> selectors.Known:
    """Outside a transaction the limits and the read are one message, which is a transaction of its own. The
    guard's threads have sessions of their own, with the limits and a plan that is made once."""
    with walls.only(*{ask.org_id for ask in asks}):
        return _read(asks)


def _read(asks: Sequence[Ask]) -> selectors.Known:
    if connection.in_atomic_block:
        with _bounded(len(asks)):
            return selectors.known_for(asks)
    if len(asks) <= FEW and has_own_session() and sessions_are_ours():
        return selectors.known_quickly(asks)
    return selectors.known_for(asks, after=_limits(len(asks)))


@contextmanager
def _bounded(asks: int = 0) -> Iterator[None]:
    """Reads within the limits of time; inside a transaction, in a savepoint, so that a failed read does
    not take the caller's submission with it."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_limits(asks))
        yield
        # Released, a savepoint would leave its limits to the rest of the caller's transaction.
        transaction.set_rollback(True)


def session_options() -> str:
    """PostgreSQL's, for sessions that only predictions are read with; none behind a pooler, which mixes sessions."""
    limits = {
        "statement_timeout": STATEMENT_TIMEOUT_MS,
        "lock_timeout": LOCK_TIMEOUT_MS,
        "plan_cache_mode": "force_generic_plan",
        **PLANNER,
    }
    return " ".join(f"-c {name}={value}" for name, value in limits.items()) if sessions_are_ours() else ""


def _limits(asks: int) -> str:
    limits = {
        "statement_timeout": STATEMENT_TIMEOUT_MS + round(PER_ASK_MS * asks),
        "lock_timeout": LOCK_TIMEOUT_MS,
        **PLANNER,
    }
    return "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in limits.items())


def _model(version: int | None) -> Loaded:
    """What is made of the active version, once per process until another one is active."""
    global _loaded
    loaded = _loaded
    if loaded is None or loaded.version != version:
        loaded = _loaded = _load(version)
    return loaded


def _load(version: int | None) -> Loaded:
    try:
        if version is None:
            raise NoActiveModel
        with _bounded():
            return Loaded(version, store.load(version), shown=version)
    except PredictorError as error:
        logger.error(
            "action=no_usable_model version=%s error=%r: jobs are predicted without a network until "
            "another version is active",
            version,
            str(error),
        )
        return Loaded(version, Knowledge(), shown=None)


def _prediction(answer: Estimate, model: Loaded) -> Prediction:
    if answer.absurd:
        _complain(model)
    return Prediction(
        runtime_ms=answer.runtime_ms,
        priority=coldstart.priority(answer.runtime_ms),
        source=answer.source,
        model_version=model.shown,
        low_ms=answer.low_ms,
        high_ms=answer.high_ms,
    )


def _complain(model: Loaded) -> None:
    """Once per version: absurd answers come at every submission or at many."""
    global _absurd
    if _absurd != model.version:
        _absurd = model.version
        logger.warning(
            "action=absurd_correction version=%s: jobs it is absurd for are predicted without the network",
            model.version,
        )


def _what_if(job_type: str, history: Sequence[HistoryItem], shadow: Shadow) -> Question:
    """The items with a runtime as runs of one name that followed each other, the last one ending now."""
    book, ended_at, runs = Book(), time.time(), []
    for item in reversed(history):
        if item.runtime_ms is not None:
            begun_at = ended_at - item.runtime_ms / 1000
            runs.append(Run(Ask(0, item.job_type, "", "normal", begun_at), DONE, item.runtime_ms, ended_at))
            ended_at = begun_at
    for run in reversed(runs):
        book.add(run)
    ask = Ask(0, job_type, "", "normal", time.time())
    return Question(ask, book.past(ask), shadow)
