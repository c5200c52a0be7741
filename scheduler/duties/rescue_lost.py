"""Takes jobs from workers that went silent, and marks those workers lost."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models.functions import Now

from jobs import claims, notify
from jobs.models import Worker


def run(actor: str) -> int:
    moved = claims.reclaim_expired(actor=actor)
    silent = Worker.objects.filter(
        status__in=(Worker.ACTIVE, Worker.STOPPING), last_seen__lt=Now() - timedelta(seconds=settings.LEASE_S)
    )
    lost = silent.update(status=Worker.LOST, running=0)
    notify.changed((job.org_id for job in moved), ready=True)
    return len(moved) + lost
