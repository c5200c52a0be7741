"""Takes jobs whose lease ran out, and marks workers lost that were silent for so long.

Each renewal and each finish leaves a dead entry in the index of leases. While somebody's transaction keeps
them, a look at the whole of it grows longer and longer. So most runs look only at leases that ran out since
shortly before the last one; a look at all finds what was locked then, and comes the less often the longer it takes.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from jobs import notify, reclaims
from jobs.claims import Moved
from jobs.models import Worker
from scheduler.duties.batches import BATCH

# How long workers have to come back after an outage of the database: each tries again every AWAY_S.
RETURN_S = 2.5
OVERLAP = timedelta(seconds=5)
ALL_EVERY_S = 30.0
ALL_SHARE = 20  # a look at all leases takes at most 1/20 of the time


class ReclaimExpired:
    """The duty, and up to when it has looked. A term may begin after an outage that let every lease run out."""

    def __init__(self, began: float | None = None) -> None:
        self._starts = (time.monotonic() if began is None else began) + RETURN_S
        self._look_at_all = 0.0
        self._seen_to: datetime | None = None

    def run(self, actor: str) -> int:
        began = time.monotonic()
        if began < self._starts:
            return 0
        now = _now()
        if self._seen_to is None or began >= self._look_at_all:
            moved = self._reclaim_all(actor, now)
        else:
            moved = reclaims.reclaim_expired(actor=actor, limit=BATCH, since=self._seen_to - OVERLAP)
            if len(moved) < BATCH:
                self._seen_to = now
        notify.changed((job.org_id for job in moved), ready=True)
        return len(moved) + _mark_silent()

    def _reclaim_all(self, actor: str, now: datetime) -> list[Moved]:
        began = time.monotonic()
        # Put off before it is tried, so that a look that takes too long does not fail again every second.
        self._seen_to, self._look_at_all = now, began + ALL_SHARE * ALL_EVERY_S
        moved = reclaims.reclaim_expired(actor=actor, limit=BATCH)
        pause_s = max(ALL_EVERY_S, ALL_SHARE * (time.monotonic() - began)) if len(moved) < BATCH else 0
        self._look_at_all = time.monotonic() + pause_s
        return moved


def _now() -> datetime:
    """The time of the database by which the transaction at hand judges leases."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        now: datetime = cursor.fetchone()[0]
    return now


def _mark_silent() -> int:
    silent = Worker.objects.filter(
        status__in=(Worker.ACTIVE, Worker.STOPPING), last_seen__lt=Now() - timedelta(seconds=settings.LEASE_S)
    )
    return silent.update(status=Worker.LOST, running=0)
