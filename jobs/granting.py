"""Keeps an organisation's own limit within what the platform grants it, so that the grant is in force like any limit.

Called by orgs in the transaction in which the grant changes, which holds the organisation's row (orgs.announcing).
`jobs.limits` refuses what is more than the grant.
"""

from __future__ import annotations

from dataclasses import replace

from django.db import transaction

from jobs import gate_counts, limits, notify
from jobs.limit_models import ORG, Limit
from jobs.limits import Bounds
from orgs.announcing import Grant
from orgs.models import Organization


def keep_within(org: Organization, before: Grant) -> None:
    """Make, clamp, raise or remove the organisation's own limit. A figure that was the grant's follows the grant."""
    granted = Grant.of(org)
    limit = Limit.objects.filter(org=org, scope=ORG, name="").first()
    was = Bounds() if limit is None else limits.bounds_of(limit)
    bounds = replace(
        was,
        max_running=_within(was.max_running, granted.running, before.running),
        max_queued=_within(was.max_queued, granted.queued, before.queued),
    )
    if bounds == was:
        return
    if bounds == Bounds():
        assert limit is not None
        limits.discard(limit)
    else:
        gate_id = limits.write(limit or Limit(org=org, scope=ORG), bounds)
        if gate_id is not None:
            transaction.on_commit(lambda: gate_counts.fill(gate_id))
    notify.changed([org.pk])


def _within(own: int | None, granted: int | None, before: int | None) -> int | None:
    if own is None or own == before:
        return granted
    return own if granted is None else min(own, granted)
