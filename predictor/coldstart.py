"""What is said of a job before anything is known of its kind: the base runtime of its type and the
factor by which the last jobs of its organisation shift it.

Pure functions; the score made of a runtime is the queue's own (jobs.ordering) and is only passed on.
Called by predictor.estimate, predictor.guard and predictor.service.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from jobs.ordering import NEUTRAL_PRIORITY, NEUTRAL_RUNTIME_MS, priority

__all__ = ["JOB_TYPES", "NEUTRAL_PRIORITY", "base_ms", "context_factor", "predicted_ms", "priority"]

JOB_TYPES = ("http", "shell", "etl", "ml", "python")
CONTEXT_JOBS = 3

BASE_MS = MappingProxyType({"http": 400.0, "shell": 1500.0, "etl": 3000.0, "ml": 12000.0})
_LEANING = MappingProxyType({"http": -1.0, "shell": -0.5, "python": 0.0, "etl": 0.5, "ml": 1.0})


def base_ms(job_type: str) -> float:
    """Runtime in milliseconds of a job of this type when nothing else is known."""
    return BASE_MS.get(job_type, NEUTRAL_RUNTIME_MS)


def context_factor(job_types: Sequence[str]) -> float:
    """Between 0.7 and 1.3: lighter or heavier surroundings, from the last three types (newest last)."""
    return 1.0 + 0.1 * sum(_LEANING.get(job_type, 0.0) for job_type in job_types[-CONTEXT_JOBS:])


def predicted_ms(job_type: str, last_types: Sequence[str]) -> float:
    """The cold start itself, in milliseconds; `last_types` are of the same organisation, newest last."""
    return base_ms(job_type) * context_factor(last_types)
