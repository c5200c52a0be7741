"""What is measured over execution logs, as SQL expressions: runtimes, errors of predictions, percentiles."""

from __future__ import annotations

import math
from typing import Any

from django.db.models import Aggregate, Avg, Case, Count, ExpressionWrapper, FloatField, Q, Value, When
from django.db.models.functions import Abs, Greatest, Ln
from django.db.models.lookups import LessThanOrEqual

# Below a millisecond a ratio says nothing, and zero has none.
LEAST_MS = Value(1.0)

DONE = Q(outcome="done")
CANCELLED = Q(outcome="cancelled")
RETRIED = Q(final=False)
FAILED = Q(final=True) & ~DONE & ~CANCELLED
PREDICTED = DONE & Q(predicted_runtime_ms__isnull=False)


class Percentile(Aggregate):
    """`Percentile("wait_ms", 0.95)`: the continuous percentile, NULL over no rows."""

    function = "percentile_cont"
    template = "%(function)s(%(fraction)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()

    def __init__(self, expression: Any, fraction: float, **extra: Any) -> None:
        super().__init__(expression, fraction=float(fraction), **extra)


def outcomes() -> dict[str, Aggregate]:
    """Counts of attempts: done, failed (for good), cancelled, and retried ones."""
    return {
        "done": Count("id", filter=DONE),
        "failed": Count("id", filter=FAILED),
        "cancelled": Count("id", filter=CANCELLED),
        "retried": Count("id", filter=RETRIED),
    }


def accuracy() -> dict[str, Aggregate]:
    """Errors of predictions over logs that are `PREDICTED`; ratios, where 0.25 means 25 %.

    `mape` and `median_ape`: |predicted - actual| / actual. `log2_error`: mean of |log2(predicted /
    actual)|, 1 being wrong by a factor of two either way. `within_2x`: the share up to that.
    """
    actual, predicted = Greatest("runtime_ms", LEAST_MS), Greatest("predicted_runtime_ms", LEAST_MS)
    ape = ExpressionWrapper(Abs(predicted - actual) / actual, output_field=FloatField())
    log2 = ExpressionWrapper(Abs(Ln(predicted) - Ln(actual)) / Value(math.log(2)), output_field=FloatField())
    ratio = ExpressionWrapper(Greatest(predicted / actual, actual / predicted), output_field=FloatField())
    near = Case(When(LessThanOrEqual(ratio, Value(2.0)), then=Value(1.0)), default=Value(0.0))
    return {
        "attempts": Count("id"),
        "mape": Avg(ape),
        "median_ape": Percentile(ape, 0.5),
        "log2_error": Avg(log2),
        "within_2x": Avg(near),
    }
