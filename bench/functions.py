"""Functions that the benches register for `python` jobs (SMARTQUEUE_FUNCTIONS=bench.functions)."""

from __future__ import annotations

import time

from jobs.functions import register


@register("bench.started_at")
def started_at() -> float:
    """The moment the job's first line runs, on the clock that all processes of a machine share."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)
