"""Advice on runtimes, as the queue sees it: an interface that a predictor registers itself in.

Advice never blocks: a predictor that is missing, raises or answers nonsense costs the job its
prediction (priority 0.5), never its submission.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobs import ordering

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictionRequest:
    """What is known of a job when it is submitted. `timeout_s` is None where the submitter named none."""

    org_id: int
    type: str
    name: str
    lane: str = ordering.NORMAL
    user_id: int | None = None
    timeout_s: float | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prediction:
    """Predicted runtime in milliseconds (None: unknown), the score made from it, and where it came from.

    `low_ms` to `high_ms` holds the runtime with a probability of 80 %; None where that is not known.
    """

    runtime_ms: float | None
    priority: float
    source: str
    model_version: int | None = None
    low_ms: float | None = None
    high_ms: float | None = None


@dataclass(frozen=True)
class History:
    """What a prediction made at this moment, `now`, comes from.

    `circle` says in words which runs: `runs` of them so far, of which the last `recent` count; `median_ms` is
    theirs and `newest_at` when the last of them ended. None (and 0) where there are none to go by. `base_ms` is
    what they make, `correction` the factor by which the network would change it, and `trust` (0 to 1) how far it is
    let.
    """

    circle: str
    now: Prediction
    runs: int = 0
    recent: int = 0
    median_ms: float | None = None
    newest_at: datetime | None = None
    base_ms: float | None = None
    correction: float = 1.0
    trust: float = 0.0


Predictor = Callable[[Sequence[PredictionRequest]], list[Prediction]]
Explainer = Callable[[PredictionRequest], History]

NEUTRAL = Prediction(runtime_ms=None, priority=ordering.NEUTRAL_PRIORITY, source="fallback")

_predictor: Predictor | None = None
_explainer: Explainer | None = None
_last_failure = ""


def register(predictor: Predictor | None) -> None:
    """Make `predictor` the one that answers; None takes it away."""
    global _predictor
    _predictor = predictor


def register_explainer(explainer: Explainer | None) -> None:
    """Make `explainer` the one that says what predictions come from; None takes it away."""
    global _explainer
    _explainer = explainer


def history(request: PredictionRequest) -> History | None:
    """What a prediction of this job comes from; None where nobody can say. Never raises."""
    if _explainer is None:
        return None
    try:
        found = _explainer(request)
    except Exception as error:
        logger.info("action=prediction_not_explained error=%r", error)
        return None
    return found if usable(found.now) else None


def predict(requests: Sequence[PredictionRequest]) -> list[Prediction]:
    """One prediction per request, in order; never raises."""
    if _predictor is None:
        return [NEUTRAL] * len(requests)
    try:
        predictions = _predictor(requests)
        if len(predictions) != len(requests):
            raise ValueError(f"{len(predictions)} predictions for {len(requests)} requests")
        return [prediction if usable(prediction) else NEUTRAL for prediction in predictions]
    except Exception as error:
        _log_once(repr(error))
        return [NEUTRAL] * len(requests)


def _log_once(failure: str) -> None:
    """The same failure at every submit is one line, not a flood."""
    global _last_failure
    if failure != _last_failure:
        logger.warning("action=predictor_failed error=%s: jobs get the neutral priority", failure)
    _last_failure = failure


def usable(prediction: Prediction) -> bool:
    """Whether its numbers can be stored and ordered by; NaN compares false with everything, so it cannot."""
    return (
        0 <= prediction.priority <= 1
        and _is_time(prediction.runtime_ms)
        and _is_time(prediction.low_ms)
        and _is_time(prediction.high_ms)
    )


def _is_time(time: float | None) -> bool:
    return time is None or 0 <= time < math.inf
