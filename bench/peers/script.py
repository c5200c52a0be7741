"""What the peers' scripts share: options, batches, and jobs that trickle in with the time of each call.

Commands of every script: `install` the tables, `enqueue` jobs in bulk, `trickle` them one by one, `work`
until SIGTERM. The database comes from PGHOST, PGPORT, PGUSER and PGDATABASE.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

PAUSE_S = (0.02, 0.05)
BATCH = 1000


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["install", "enqueue", "trickle", "work"])
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0, help="seconds until the jobs are due")
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--uvloop", action="store_true")
    return parser.parse_args()


def batches(count: int) -> Iterator[int]:
    """Sizes of at most a thousand that add up to `count`."""
    while count > 0:
        yield min(count, BATCH)
        count -= BATCH


def delay(seconds: float) -> timedelta | None:
    return timedelta(seconds=seconds) if seconds else None


async def trickle(count: int, submit: Callable[[int], Awaitable[object]]) -> None:
    """Submit jobs 1 to `count`, 20 to 50 ms apart; print [key, time before the call] of each as JSON."""
    submitted = []
    for key in range(1, count + 1):
        before = time.clock_gettime(time.CLOCK_MONOTONIC)
        await submit(key)
        submitted.append((key, before))
        await asyncio.sleep(random.uniform(*PAUSE_S))
    print(json.dumps(submitted))
