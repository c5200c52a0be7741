"""Compares what gates count with what runs, and puts right what has drifted: each correction is a sign of a fault.

Jobs that were claimed before a gate existed come to count in it here, if `jobs.limits` did not get to it. Only gates
with a wrong count are locked and written.
"""

from __future__ import annotations

import logging
import time

from django.conf import settings

from jobs import gate_counts
from jobs.gate_counts import UNCOUNTED
from scheduler.duties.batches import BATCH

logger = logging.getLogger(__name__)

# Whoever's lease ended so long ago no longer runs for the queue; see gate_counts for what a bound saves.
EXPIRED_S = 60.0


class RepairGates:
    """The duty. A term may begin after an outage that let every lease run out: then all that runs is looked at."""

    def __init__(self, began: float | None = None) -> None:
        self._all_until = (time.monotonic() if began is None else began) + settings.LEASE_S + EXPIRED_S

    def run(self, actor: str) -> int:
        age_s = None if time.monotonic() < self._all_until else EXPIRED_S
        joined, _ = gate_counts.join_running(age_s=age_s)
        found = gate_counts.wrong(most=BATCH, age_s=age_s)
        corrections = gate_counts.correct(found, age_s=age_s, skip_held=True) if found else []
        for one in corrections:
            action, level = ("gate_corrected", logging.WARNING)
            if one.was >= UNCOUNTED // 2:  # who made it has not come to it, or ended before
                action, level = ("gate_counted", logging.INFO)
            logger.log(
                level,
                "action=%s gate=%s scope=%s org=%s counted=%s running=%s",
                *(action, one.gate_id, one.scope, one.org_id, one.was, one.running),
            )
        return max(joined, len(corrections))
