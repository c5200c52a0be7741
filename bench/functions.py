"""Functions that the benches register for `python` jobs (SMARTQUEUE_FUNCTIONS=bench.functions)."""

from __future__ import annotations

from bench import starts
from jobs.functions import register


@register("bench.noop", isolated=False)
def noop(key: int = 0) -> None:
    """Return at once; when it started is left in the file of this process (see bench.starts)."""
    starts.note(key)
