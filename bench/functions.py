"""Functions that the benches register for `python` jobs (SMARTQUEUE_FUNCTIONS=bench.functions)."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from bench import starts
from jobs.functions import register


@register("bench.noop", isolated=False)
def noop(key: int = 0) -> None:
    """Return at once; when it started is left in the file of this process (see bench.starts)."""
    starts.note(key)


RUNTIMES = "BENCH_RUNTIMES"  # a file with a list of seconds, set for the processes that run jobs


@register("bench.sleep")
def sleep(key: int) -> None:
    """Note the start, and sleep for the seconds that the file has in that place: the payload does not tell them."""
    starts.note(key)
    time.sleep(json.loads(Path(os.environ[RUNTIMES]).read_text())[key])
