"""Queues scheduled jobs whose time has come, delayed ones and retries alike."""

from __future__ import annotations

from jobs import claims, notify
from scheduler.duties.batches import BATCH


def run(actor: str) -> int:
    moved = claims.promote_due(actor=actor, limit=BATCH)
    notify.changed((job.org_id for job in moved), ready=True)
    return len(moved)
