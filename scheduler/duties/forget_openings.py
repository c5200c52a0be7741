"""Removes what told workers that gates have opened, when each of them has seen it or has forgotten all that it knew."""

from __future__ import annotations

from jobs import gate_counts
from scheduler.duties.batches import BATCH

KEEP_S = 15 * 60.0


def run(actor: str) -> int:
    return gate_counts.forget_openings(age_s=KEEP_S, most=BATCH)
