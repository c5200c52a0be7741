"""Estimates when the jobs at the head of the queue start, and scores the estimates of those that have started.

Advice: a database that is busy, or whose dead rows cannot be removed, makes it slow, and then it comes less often, so
that it takes a tenth of the leader's time at most.
"""

from __future__ import annotations

import time

from django.utils import timezone

from jobs.eta_store import Estimates

TIMES_LONGER = 10


class Estimate:
    """The duty, and when it is due again."""

    def __init__(self) -> None:
        self._estimates = Estimates()
        self._not_before = 0.0

    def run(self, actor: str) -> int:
        begun = time.monotonic()
        if begun < self._not_before:
            return 0
        try:
            pruned = self._estimates.prune(timezone.now().date())
            return pruned + self._estimates.settle() + self._estimates.refresh()
        finally:
            self._not_before = begun + TIMES_LONGER * (time.monotonic() - begun)
