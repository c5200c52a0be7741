"""Takes jobs from workers that died before their leases run out, and marks those workers lost.

A worker's listening session holds an advisory lock, which ends with the process. Dead is who holds it no
more and has missed two heartbeats as well: the lock alone may have gone with a cut connection, a heartbeat
alone is missed by a process that is stopped or starved. Whom neither tells of (its machine vanished, it
has no lock behind a pooler), the lease does: see `reclaim_expired`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef

from jobs import notify, reclaims, states
from jobs.models import Job, Worker
from scheduler.duties.batches import BATCH

logger = logging.getLogger(__name__)

MISSED_BEATS = 2.1  # two, and what it takes to write the second

SILENT = """
SELECT worker_id FROM jobs_worker
WHERE status IN ('active', 'stopping') AND lock_key IS NOT NULL
    AND last_seen < now() - make_interval(secs => %(silence_s)s)
"""
# A worker whose heartbeat is being written at this moment holds its row: it is not dead. One that comes
# back later waits for this transaction and finds its jobs gone.
DEAD = """
SELECT worker_id FROM jobs_worker worker
WHERE worker_id = ANY(%(silent)s) AND last_seen < now() - make_interval(secs => %(silence_s)s)
    AND NOT EXISTS (
        SELECT 1 FROM pg_locks held
        WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
            AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND held.classid::bigint = (worker.lock_key >> 32) & 4294967295
            AND held.objid::bigint = worker.lock_key & 4294967295
    )
FOR UPDATE SKIP LOCKED
"""


class RescueLost:
    """The duty, and since when it watches.

    A term may begin after an outage of the database, which ended every session and let every heartbeat grow
    old. So nobody is judged by what happened before the term.
    """

    def __init__(self, began: float | None = None) -> None:
        self._began = time.monotonic() if began is None else began
        self._told: set[str] = set()  # dead workers that are in the log, while they are not marked yet

    def run(self, actor: str) -> int:
        if time.monotonic() - self._began < silence_s():
            return 0
        dead = dead_workers()
        self._tell(dead)
        if not dead:
            return 0
        moved = reclaims.reclaim_from(actor=actor, workers=dead, limit=BATCH)
        notify.changed((job.org_id for job in moved), ready=True)
        return len(moved) + _mark_lost(dead)

    def _tell(self, dead: Sequence[str]) -> None:
        """Once each: one with a job that somebody holds is met at every run."""
        if new := [worker_id for worker_id in dead if worker_id not in self._told]:
            logger.warning("action=workers_died workers=%s", ",".join(new))
        self._told = set(dead)


def silence_s() -> float:
    """How long a worker without its lock has not been heard of when it counts as dead."""
    return MISSED_BEATS * settings.HEARTBEAT_S


def dead_workers() -> list[str]:
    """Workers whose process is gone. Their rows stay locked until the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute(SILENT, {"silence_s": silence_s()})
        silent = [worker_id for (worker_id,) in cursor.fetchall()]
        if not silent:
            return []
        cursor.execute(DEAD, {"silent": silent, "silence_s": silence_s()})
        return [worker_id for (worker_id,) in cursor.fetchall()]


def _mark_lost(dead: Sequence[str]) -> int:
    """Not those with a job whose row somebody else holds at this moment: they are looked at again."""
    running = Job.objects.filter(status=states.RUNNING, worker_id=OuterRef("pk"))
    gone = Worker.objects.filter(pk__in=dead).exclude(Exists(running))
    return gone.update(status=Worker.LOST, running=0)
