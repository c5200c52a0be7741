"""A worker's own row: that it started, and that it ended. Its heartbeat is part of `leases.renew`."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from django.db.models.functions import Now

from jobs import notify
from jobs.models import Worker


def register(
    worker_id: str,
    concurrency: int,
    *,
    lock_key: int | None = None,
    queues: Sequence[str] | None = None,
    types: Sequence[str] = (),
) -> None:
    """Write the row of a worker that starts. Tried again after a lost answer, so it may find its own row.

    `lock_key`: the advisory lock that its listening session takes; without one only the lease tells its death.
    """
    Worker.objects.update_or_create(
        worker_id=worker_id,
        defaults={
            "hostname": socket.gethostname()[:255],
            "pid": os.getpid(),
            "concurrency": concurrency,
            "lock_key": lock_key,
            "queues": None if queues is None else list(queues),
            "types": list(types),
        },
    )
    notify.everybody_changed()


def mark_stopped(worker_id: str) -> None:
    Worker.objects.filter(worker_id=worker_id).update(status=Worker.STOPPED, running=0, last_seen=Now())
    notify.everybody_changed()
