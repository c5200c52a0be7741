"""Removes jobs for good, with all that was kept of them: those that ended long ago, and a removed organisation's.

Called by the leader only, in bounded batches inside its transactions. Rows that name a job have no constraint in the
database, so they are deleted here by name; no index finds output or events by their organisation, only by their job.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.models import Model

from jobs import states
from jobs.models import (
    Eta,
    EtaScore,
    ExecutionLog,
    Flow,
    Gate,
    Job,
    JobEvent,
    Limit,
    LogLine,
    Pause,
    Replay,
    Share,
)

MOST_JOBS = 200  # each brings its lines along
MOST_ROWS = 5000

OF_JOB: tuple[type[Model], ...] = (LogLine, JobEvent, ExecutionLog, Eta)
# In this order: what others refer to comes after them.
OF_ORG: tuple[type[Model], ...] = (Flow, Limit, Gate, Share, Pause, Replay, EtaScore)


class Sweep(NamedTuple):
    """`removed` jobs; the next look begins behind job `after`: 0 when the organisation has no older ones."""

    removed: int
    after: int


def sweep(*, org_id: int, before: datetime, after: int, most: int) -> Sweep:
    """Look at the `most` jobs of an organisation behind job `after`, and remove those that ended before `before`.

    Ids follow the order of submission, so the first job that is younger is the end of a sweep.
    """
    jobs = Job.objects.filter(org_id=org_id, pk__gt=after).order_by("pk")
    looked_at = list(jobs.values_list("pk", "finished_at", "created_at")[:most])
    ended = [pk for pk, finished_at, _ in looked_at if finished_at is not None and finished_at < before]
    removed = remove(ended[:MOST_JOBS])
    if len(ended) > MOST_JOBS:
        return Sweep(removed, ended[MOST_JOBS - 1])
    more = len(looked_at) == most and looked_at[-1][2] < before
    return Sweep(removed, looked_at[-1][0] if more else 0)


def remove(ids: Sequence[int]) -> int:
    """Remove those of these jobs that have ended; one that somebody holds is left for the next time."""
    held = Job.objects.filter(pk__in=ids, status__in=states.FINAL).select_for_update(skip_locked=True)
    return _delete(list(held.values_list("pk", flat=True)))


def empty(org_id: int) -> int:
    """Remove a part of what an organisation has, whatever its state; 0 when nothing is left.

    For an organisation that is not open and has nothing running.
    """
    found = list(Job.objects.filter(org_id=org_id).order_by("pk").values_list("pk", flat=True)[:MOST_JOBS])
    if found:
        return _delete(found)
    return remove_rows(org_id, OF_ORG)


def remove_rows(org_id: int, models: Sequence[type[Model]]) -> int:
    """Up to MOST_ROWS rows of an organisation, of the first of `models` that has any."""
    for model in models:
        rows = model._default_manager.filter(org_id=org_id)
        removed, _ = model._default_manager.filter(pk__in=rows.values("pk")[:MOST_ROWS]).delete()
        if removed:
            return removed
    return 0


def _delete(ids: list[int]) -> int:
    if not ids:
        return 0
    Job.objects.filter(replay_of_id__in=ids).update(replay_of=None)
    for model in OF_JOB:
        model._default_manager.filter(job_id__in=ids).delete()
    removed, _ = Job.objects.filter(pk__in=ids).delete()
    return removed
