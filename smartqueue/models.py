"""The table behind `smartqueue.pgcache`. Its rows are read and written by that module's SQL only."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class CacheEntry(models.Model):
    """One cached value: `number` for a whole number, which SQL can count up, else the pickled `value`."""

    key = models.TextField(primary_key=True)
    number = models.BigIntegerField(null=True)
    value = models.BinaryField(null=True)
    expires_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "smartqueue_cache"
        indexes = [
            # pgcache.cull.
            models.Index(fields=["expires_at"], name="cache_expiry", condition=Q(expires_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.key
