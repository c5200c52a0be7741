"""Removes what nobody reads any more: old samples, workers that ended days ago, ended sessions, expired keys and
refresh tokens."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from analytics import rollups
from jobs import states
from jobs.models import Job, Worker
from orgs import refresh
from scheduler.duties.batches import BATCH

KEEP_SAMPLES = timedelta(days=7)
KEEP_WORKERS = timedelta(days=2)


def run(actor: str) -> int:
    samples = rollups.prune_samples(older_than=timezone.now() - KEEP_SAMPLES)
    sessions, _ = Session.objects.filter(expire_date__lt=Now()).delete()
    return samples + sessions + refresh.prune() + _remove_workers() + _release_idempotency_keys()


def _remove_workers() -> int:
    """Not one that still has a job in its name: who ran it must be known until its lease is over."""
    running = Job.objects.filter(status=states.RUNNING, worker_id=OuterRef("pk"))
    ended = Worker.objects.filter(
        status__in=(Worker.STOPPED, Worker.LOST), last_seen__lt=Now() - KEEP_WORKERS
    ).exclude(Exists(running))
    removed, _ = ended.delete()
    return removed


def _release_idempotency_keys() -> int:
    """A key that is over its time may name a new job. One of an unfinished job is kept until that is final."""
    expired = (
        Job.objects.filter(idempotency_key__isnull=False, status__in=states.FINAL)
        .filter(created_at__lt=Now() - timedelta(hours=settings.IDEMPOTENCY_TTL_H))
        .order_by("created_at")
        .select_for_update(skip_locked=True, of=("self",))
        .values("pk")[:BATCH]
    )
    return Job.objects.filter(pk__in=[row["pk"] for row in expired]).update(idempotency_key=None)
