"""Functions for the jobs of a scenario (SMARTQUEUE_FUNCTIONS=bench.chaos.functions)."""

from __future__ import annotations

import time

from jobs.functions import register


@register("chaos.spin")
def spin(seconds: float) -> float:
    """Use a whole core for this long."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        pass
    return seconds
