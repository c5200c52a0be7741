"""Advice on runtimes, as the submit path sees it: an interface that a predictor registers itself in.

Advice never blocks: a predictor that is missing, raises or answers nonsense costs the job its
prediction (priority 0.5), never its submission.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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


Predictor = Callable[[Sequence[PredictionRequest]], list[Prediction]]

NEUTRAL = Prediction(runtime_ms=None, priority=ordering.NEUTRAL_PRIORITY, source="fallback")

_predictor: Predictor | None = None
_last_failure = ""


def register(predictor: Predictor | None) -> None:
    """Make `predictor` the one that answers; None takes it away."""
    global _predictor
    _predictor = predictor


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
    times = (prediction.runtime_ms, prediction.low_ms, prediction.high_ms)
    return 0 <= prediction.priority <= 1 and all(
        time is None or (math.isfinite(time) and time >= 0) for time in times
    )
