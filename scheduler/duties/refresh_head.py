"""Predicts the first jobs of the queue anew, and ranks those anew of which something else is known by now."""

from __future__ import annotations

from jobs import notify, refreshing


def run(actor: str) -> int:
    orgs = refreshing.refresh_head()
    notify.changed(orgs)
    return len(orgs)
