"""Removes what nobody reads any more: old samples, workers that ended days ago, ended sessions."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.sessions.models import Session
from django.db.models.functions import Now
from django.utils import timezone

from analytics import rollups
from jobs.models import Worker

KEEP_SAMPLES = timedelta(days=7)
KEEP_WORKERS = timedelta(days=2)


def run(actor: str) -> int:
    samples = rollups.prune_samples(older_than=timezone.now() - KEEP_SAMPLES)
    ended = Worker.objects.filter(
        status__in=(Worker.STOPPED, Worker.LOST), last_seen__lt=Now() - KEEP_WORKERS
    )
    workers, _ = ended.delete()
    sessions, _ = Session.objects.filter(expire_date__lt=Now()).delete()
    return samples + workers + sessions
