"""Queues scheduled jobs whose time has come, delayed ones and retries alike."""

from __future__ import annotations

from jobs import notify, reclaims
from scheduler.duties.batches import BATCH


def run(actor: str) -> int:
    moved = reclaims.promote_due(actor=actor, limit=BATCH)
    notify.changed((job.org_id for job in moved), ready=True)
    return len(moved)
