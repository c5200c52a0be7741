"""When jobs are estimated to start and finish, and how well that went. See jobs.eta_store for who writes these tables.

Tables of their own, beside the jobs: estimates change every few seconds, and rows of jobs are hot.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from jobs.org_models import OrgModel, WrittenByQueue


class Eta(WrittenByQueue):
    """The estimate of a job at the head of the queue, as of `as_of`; and the first one that it was given, which counts.

    Intervals hold 80 %. `first_raw`: seconds from `first_at` to the interval as it came out of the simulation. No index
    but the key's, so that a new estimate is written beside the old one.
    """

    job_id = models.BigIntegerField(primary_key=True)
    flow_id = models.BigIntegerField()
    rank = models.FloatField()
    as_of = models.DateTimeField()
    start_at = models.DateTimeField()
    start_low_at = models.DateTimeField()
    start_high_at = models.DateTimeField()
    finish_at = models.DateTimeField()
    finish_low_at = models.DateTimeField()
    finish_high_at = models.DateTimeField()
    first_at = models.DateTimeField()
    first_low_at = models.DateTimeField()
    first_high_at = models.DateTimeField()
    first_raw = ArrayField(models.FloatField(), size=3)

    def __str__(self) -> str:
        return f"job {self.job_id}: {self.start_at:%F %T}"


class EtaScore(OrgModel):
    """Of the jobs of an organisation that started on one day (UTC), how many did so inside their first interval."""

    day = models.DateField()
    started = models.IntegerField()
    inside = models.IntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["org", "day"], name="etascore_unique")]
        # eta_store.prune.
        indexes = [models.Index(fields=["day"], name="etascore_by_day")]

    def __str__(self) -> str:
        return f"{self.day:%F}: {self.inside} of {self.started}"


class EtaCorrection(models.Model):
    """What jobs.calibration has learned of near or far starts, of all organisations; `*_shift` is what it comes to."""

    bucket = models.SmallIntegerField(primary_key=True)
    low = ArrayField(models.FloatField(), default=list)
    middle = ArrayField(models.FloatField(), default=list)
    high = ArrayField(models.FloatField(), default=list)
    low_miss = models.FloatField()
    high_miss = models.FloatField()
    seen = models.BigIntegerField(default=0)
    low_shift = models.FloatField()
    middle_shift = models.FloatField()
    high_shift = models.FloatField()

    def __str__(self) -> str:
        return f"correction {self.bucket}, of {self.seen} starts"
