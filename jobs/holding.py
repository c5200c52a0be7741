"""Holds back the queued jobs of an organisation that is not open: suspended by the platform, or to be deleted.

Called by orgs in the transaction of each change (orgs.announcing). It is a pause like others, which every claim reads,
but nobody's: pages and API do not show it, and only what changes the organisation's standing ends it.
"""

from __future__ import annotations

from jobs import gate_counts, notify
from jobs.limit_models import EVERYTHING
from jobs.models import Pause
from orgs.models import Organization


def hold(org: Organization) -> None:
    """Make or end the pause, as the organisation's standing says."""
    if org.is_open:
        ended, _ = Pause.objects.filter(org=org, suspension=True).delete()
        if ended:
            gate_counts.open_again(EVERYTHING)
    else:
        reason = "suspended by the platform" if org.suspended_at else "to be deleted"
        _, new = Pause.objects.update_or_create(
            org=org, queue=None, type=None, suspension=True, defaults={"reason": reason}
        )
        if new:
            notify.paused(org_id=org.pk, queue=None, type=None)
    notify.changed([org.pk])
