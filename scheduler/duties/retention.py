"""Removes jobs that ended longer ago than their organisation, or the platform, keeps them."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from jobs import removal
from orgs.models import Organization
from scheduler.duties.batches import BATCH

ORGS = 50  # that one run looks at


class Retention:
    """The duty, and where it is: the organisation, and the job behind which it goes on there."""

    def __init__(self) -> None:
        self._org_id = 0
        self._after = 0

    def run(self, actor: str) -> int:
        removed = 0
        orgs = list(_with_retention().filter(pk__gte=self._org_id).order_by("pk")[: ORGS + 1])
        for org in orgs[:ORGS]:
            if org.pk != self._org_id:
                self._org_id, self._after = org.pk, 0
            found = self._sweep(org)
            removed, self._after = removed + found.removed, found.after
            if found.after:
                return BATCH if found.removed else 0
        self._org_id, self._after = (orgs[ORGS].pk if len(orgs) > ORGS else 0), 0
        return removed

    def _sweep(self, org: Organization) -> removal.Sweep:
        before = timezone.now() - timedelta(days=org.retention_days or settings.RETENTION_DAYS)
        return removal.sweep(org_id=org.pk, before=before, after=self._after, most=BATCH)


def _with_retention() -> QuerySet[Organization]:
    return (
        Organization.objects.all()
        if settings.RETENTION_DAYS
        else Organization.objects.exclude(retention_days=None)
    )
