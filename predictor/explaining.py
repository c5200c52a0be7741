"""Says which runs a prediction comes from, and what base and network make of them, as of this moment.

Registered in jobs.prediction by predictor.apps. Reads what a prediction reads, within the same limits of time.
"""

from __future__ import annotations

import statistics
from datetime import UTC, datetime

from jobs.prediction import History, Prediction, PredictionRequest
from predictor import service
from predictor.estimate import Origin, in_ms
from predictor.history import NO_CIRCLE, Ask, Window

# By their place in predictor.history.CIRCLES.
_CIRCLES = {
    0: "runs of this name by this submitter",
    1: "runs of this name",
    2: "runs of this type by this submitter",
    3: "runs of this type in the organisation",
}
_WITHOUT_SUBMITTER = {0: 1, 2: 3}  # the same circle
NO_RUNS = "no ended runs to go by: the base runtime of its type, shifted by the last jobs of the organisation"
ELSEWHERE = "no ended runs to go by: the usual runtime of its type, as a trained model knows it"


def explain(request: PredictionRequest) -> History:
    """Raises as `service.predict` does."""
    question, origin, now = service.origin(request)
    if origin.base is None:
        return History(NO_RUNS, now)
    window = None if origin.base.circle == NO_CIRCLE else question.past.windows[origin.base.circle]
    return _history(question.ask, origin, window, now)


def _history(ask: Ask, origin: Origin, window: Window | None, now: Prediction) -> History:
    base = origin.base
    assert base is not None
    runs = list(window.runs) if window else []
    return History(
        circle=_circle(ask, base.circle),
        now=now,
        runs=window.count if window else 0,
        recent=len(runs),
        median_ms=in_ms(statistics.median(run.log_ms for run in runs)) if runs else None,
        newest_at=datetime.fromtimestamp(runs[-1].ended_at, UTC) if runs else None,
        base_ms=in_ms(base.log_ms),
        correction=origin.correction,
        trust=origin.trust,
    )


def _circle(ask: Ask, circle: int) -> str:
    if circle == NO_CIRCLE:
        return ELSEWHERE
    return _CIRCLES[circle if ask.user_id else _WITHOUT_SUBMITTER.get(circle, circle)]
