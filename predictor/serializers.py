"""The shapes of what the predictor's API reads and answers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from orgs.serializers import StrictSerializer
from predictor.coldstart import JOB_TYPES
from predictor.estimate import LONGEST_MS
from predictor.models import ModelVersion
from predictor.service import HistoryItem

LONGEST_HISTORY = 1000
_TYPES = ", ".join(JOB_TYPES)
_TYPE_SCHEMA = {"type": "string", "enum": list(JOB_TYPES)}
_RUNTIME_SCHEMA = {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_MS, "nullable": True}


def job_type_of(value: Any) -> str:
    if not isinstance(value, str) or value not in JOB_TYPES:
        raise serializers.ValidationError(f"Expected one of {_TYPES}.")
    return value


def runtime_of(value: Any) -> float | None:
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= LONGEST_MS:
        raise serializers.ValidationError(f"Expected milliseconds above 0 and at most {LONGEST_MS:.0f}.")
    return float(value)


@extend_schema_field(_TYPE_SCHEMA)
class JobTypeField(serializers.Field[str, Any, str, Any]):
    def to_internal_value(self, data: Any) -> str:
        return job_type_of(data)

    def to_representation(self, value: str) -> str:
        return value


@extend_schema_field(
    {
        "oneOf": [
            _TYPE_SCHEMA,
            {
                "type": "object",
                "properties": {"job_type": _TYPE_SCHEMA, "runtime_ms": _RUNTIME_SCHEMA},
                "required": ["job_type"],
                "additionalProperties": False,
            },
        ]
    }
)
class HistoryItemField(serializers.Field[HistoryItem, Any, Any, Any]):
    """A job type, or an object with a job type and the runtime it had."""

    def to_internal_value(self, data: Any) -> HistoryItem:
        if isinstance(data, str):
            return HistoryItem(job_type_of(data))
        if not isinstance(data, dict) or not set(data) <= {"job_type", "runtime_ms"}:
            raise serializers.ValidationError('Expected a job type or {"job_type", "runtime_ms"}.')
        return HistoryItem(job_type_of(data.get("job_type")), runtime_of(data.get("runtime_ms")))

    def to_representation(self, value: HistoryItem) -> Any:
        return {"job_type": value.job_type, "runtime_ms": value.runtime_ms}


class PredictRequestSerializer(StrictSerializer):
    job_type = JobTypeField(help_text="Type of the job that is asked about.")
    history = serializers.ListField(
        child=HistoryItemField(),
        default=list,
        max_length=LONGEST_HISTORY,
        help_text="What ran before, newest last.",
    )


class PredictResponseSerializer(serializers.Serializer[Any]):
    predicted_runtime_ms = serializers.FloatField(allow_null=True, help_text="Milliseconds.")
    predicted_priority = serializers.FloatField(help_text="1 / (1 + predicted_runtime_ms / 3000), or 0.5.")
    job_type = JobTypeField()


class ModelVersionSerializer(serializers.ModelSerializer[ModelVersion]):
    """A trained network, or the cold start; without weights."""

    metrics = serializers.JSONField(
        allow_null=True, help_text="What was measured when it was trained, by name."
    )
    trained_on = serializers.IntegerField(
        allow_null=True, help_text="Attempts it was trained on, from `window_start` to `window_end`."
    )

    class Meta:
        model = ModelVersion
        fields = [
            "id",
            "kind",
            "origin",
            "created_at",
            "activated_at",
            "active",
            "trained_on",
            "window_start",
            "window_end",
            "metrics",
            "parent_id",
        ]
        read_only_fields = fields
        extra_kwargs = {
            "origin": {"help_text": "`retrain`, `online` (a small update of its parent) or empty."},
            "activated_at": {"help_text": "When it was put in force last; null: never."},
            "active": {"help_text": "It is the one in force."},
        }

    # With two organisations, what is of both less one's own is the other's.
    OF_ALL_ORGANISATIONS = ("trained_on", "window_start", "window_end", "metrics")

    def to_representation(self, instance: ModelVersion) -> dict[str, Any]:
        shown = super().to_representation(instance)
        if not self.context["request"].user.sees_all:
            shown |= dict.fromkeys(self.OF_ALL_ORGANISATIONS)
        return shown


class AccuracyQuerySerializer(StrictSerializer):
    """What is measured."""

    days = serializers.IntegerField(
        min_value=1, max_value=30, default=7, help_text="Days in UTC, today included."
    )
    org = serializers.IntegerField(
        min_value=1, required=False, help_text="Only this organisation; members see their own."
    )


def _measure(help_text: str) -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, help_text=help_text)


class ServedAccuracySerializer(serializers.Serializer[Any]):
    """Ratios, 0.25 being 25 %; null where there was nothing to measure."""

    attempts = serializers.IntegerField(help_text="Predicted attempts that ended by themselves.")
    mape = _measure("Mean of |predicted - actual| / actual.")
    median_ape = _measure("Median of the same.")
    log2_error = _measure("Mean of |log2(predicted / actual)|; 1 is wrong by a factor of two.")
    intervals = serializers.IntegerField(help_text="Attempts among them with an 80 % interval.")
    coverage_80 = _measure("Share of those intervals that held the runtime; 0.8 is meant.")


class ServedAccuracyOfTypeSerializer(ServedAccuracySerializer):
    type = serializers.ChoiceField(choices=JOB_TYPES)


class ServedAccuracyOfDaySerializer(ServedAccuracySerializer):
    day = serializers.DateField(help_text="In UTC.")


class AccuracyReportSerializer(serializers.Serializer[Any]):
    """How good the predictions were that jobs were submitted with."""

    overall = ServedAccuracySerializer()
    by_type = ServedAccuracyOfTypeSerializer(many=True)
    by_day = ServedAccuracyOfDaySerializer(many=True, help_text="Each of the days, oldest first.")
