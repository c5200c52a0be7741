"""Notes how many jobs each organisation has waiting and running, for the chart of queue depth."""

from __future__ import annotations

from analytics import rollups


def run(actor: str) -> int:
    return rollups.record_queue_samples()
