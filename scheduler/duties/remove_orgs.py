"""Removes organisations whose time to be taken back is over: their rows in batches, at last themselves."""

from __future__ import annotations

import logging

from django.db import IntegrityError, transaction
from django.utils import timezone

from analytics.models import QueueSample
from jobs import removal, states
from jobs.models import Job
from orgs import life
from orgs.models import Organization
from predictor.models import RunHistory, Trust
from scheduler.duties.batches import BATCH

logger = logging.getLogger(__name__)

# What the parts above `jobs` keep of an organisation.
OTHERS = (QueueSample, RunHistory, Trust)


def run(actor: str) -> int:
    """Not while a job of it runs: its worker would end it without a row to write to."""
    due = Organization.objects.filter(delete_at__lte=timezone.now()).order_by("delete_at")
    for org in due:
        if Job.objects.filter(org=org, status=states.RUNNING).exists():
            continue
        return _remove_part(org)
    return 0


def _remove_part(org: Organization) -> int:
    if removal.empty(org.pk) or removal.remove_rows(org.pk, OTHERS):
        return BATCH
    try:
        with transaction.atomic():
            gone = life.remove(org)
    except IntegrityError:  # something was added since the last look: the next run takes it
        return 0
    if gone:
        logger.info("action=organisation_removed org=%s", org.pk)
    return int(gone)
