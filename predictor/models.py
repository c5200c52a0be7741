"""The models that were trained and which one is in force, the last runs that predictions are made of, and how
far the network is believed. Written by predictor.store, predictor.keeping and predictor.learning only.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from orgs.models import Organization


class ModelVersion(models.Model):
    """One trained network, or the cold start that needs none. With no active row, base and cold start answer."""

    COLD_START, LSTM = "cold_start", "lstm"
    KINDS = (COLD_START, LSTM)
    RETRAIN, ONLINE = "retrain", "online"

    created_at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=20, choices=[(kind, kind) for kind in KINDS])
    origin = models.CharField(max_length=10, default="", blank=True)
    weights = models.BinaryField(null=True)
    feature_schema = models.JSONField(default=dict)
    metrics = models.JSONField(default=dict)
    trained_on = models.IntegerField(default=0)
    window_start = models.DateTimeField(null=True)
    window_end = models.DateTimeField(null=True)
    parent = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")
    active = models.BooleanField(default=False)
    activated_at = models.DateTimeField(null=True)
    pinned = models.BooleanField(default=False)  # put in force by hand: learning leaves it there

    class Meta:
        constraints = [
            # Also the index by which the version in force is found.
            models.UniqueConstraint(
                fields=["active"], condition=Q(active=True), name="modelversion_one_active"
            ),
            models.CheckConstraint(
                condition=Q(kind="cold_start", weights__isnull=True) | Q(kind="lstm", weights__isnull=False),
                name="modelversion_weights_fit_kind",
            ),
            models.CheckConstraint(condition=Q(trained_on__gte=0), name="modelversion_trained_on_range"),
        ]

    def __str__(self) -> str:
        return f"version {self.pk} ({self.kind})"


class RunHistory(models.Model):
    """The window of one circle of jobs: `runs` holds the numbers of predictor.history.Seen, run after run.

    "" and 0 stand for any name, type and submitter. Advice: a lost update costs a prediction some accuracy.
    """

    org = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    job_type = models.CharField(max_length=20)
    job_name = models.CharField(max_length=200)
    user_id = models.BigIntegerField()
    # None of these has an index, so that an update stays on its page.
    runs = ArrayField(models.FloatField())
    count = models.BigIntegerField()
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            # Also the index by which a prediction finds the windows of its circles.
            models.UniqueConstraint(
                fields=["org", "job_type", "job_name", "user_id"], name="runhistory_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.job_type} {self.job_name}: {self.count} runs"


class Trust(models.Model):
    """How far the network is believed for one organisation and type; see predictor.shadow. Without `org`: all."""

    org = models.ForeignKey(
        Organization, null=True, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    job_type = models.CharField(max_length=20, blank=True)
    errors = ArrayField(models.FloatField())
    low = models.FloatField()
    high = models.FloatField()
    runs = models.BigIntegerField()
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["org", "job_type"], name="trust_unique", nulls_distinct=False)
        ]

    def __str__(self) -> str:
        return f"{self.job_type or 'all'}: {self.runs} runs"
