"""What analytics keeps of its own: samples of the queue's depth, written by `analytics.rollups`."""

from __future__ import annotations

from django.db import models

from jobs.models import OrgModel


class QueueSample(OrgModel):
    """How many unfinished jobs an organisation had at one time. An idle one has no samples: see rollups."""

    taken_at = models.DateTimeField()
    queued = models.IntegerField()
    running = models.IntegerField()
    scheduled = models.IntegerField()

    class Meta:
        indexes = [
            # selectors.depth_series, and the last sample of each organisation for rollups.
            models.Index(fields=["org", "-taken_at"], name="queuesample_of_org"),
            # rollups.prune_samples.
            models.Index(fields=["taken_at"], name="queuesample_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.taken_at:%F %T}: {self.queued} queued, {self.running} running"
