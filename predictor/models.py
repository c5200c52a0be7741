"""The models that were trained, and which one is in force. Written by predictor.store only."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class ModelVersion(models.Model):
    """One trained network, or the cold start that needs none. With no active row nothing is predicted."""

    COLD_START, LSTM = "cold_start", "lstm"
    KINDS = (COLD_START, LSTM)

    created_at = models.DateTimeField(db_default=Now())
    kind = models.CharField(max_length=20, choices=[(kind, kind) for kind in KINDS])
    weights = models.BinaryField(null=True)
    feature_schema = models.JSONField(default=dict)
    metrics = models.JSONField(default=dict)
    trained_on = models.IntegerField(default=0)
    window_start = models.DateTimeField(null=True)
    window_end = models.DateTimeField(null=True)
    parent = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="+")
    active = models.BooleanField(default=False)

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
