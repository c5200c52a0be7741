"""A worker's own row: that it started, and that it ended. Its heartbeat is part of `claims.renew`."""

from __future__ import annotations

import os
import socket

from django.db.models.functions import Now

from jobs import notify
from jobs.models import Worker
from orgs.models import Organization


def register(worker_id: str, concurrency: int) -> None:
    """Tried again after a lost answer, so it may find its own row."""
    Worker.objects.update_or_create(
        worker_id=worker_id,
        defaults={"hostname": socket.gethostname()[:255], "pid": os.getpid(), "concurrency": concurrency},
    )
    _tell_everybody()


def mark_stopped(worker_id: str) -> None:
    Worker.objects.filter(worker_id=worker_id).update(status=Worker.STOPPED, running=0, last_seen=Now())
    _tell_everybody()


def _tell_everybody() -> None:
    """Workers are shared, so every organisation's pages show them. Rare: once per start and stop."""
    notify.changed(Organization.objects.values_list("pk", flat=True))
