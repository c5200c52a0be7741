"""The shapes of what the predictor's API reads and answers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from orgs.serializers import StrictSerializer
from predictor.coldstart import JOB_TYPES
from predictor.estimate import LONGEST_MS
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
    predicted_runtime_ms = serializers.FloatField(
        allow_null=True, help_text="Milliseconds; null when no model answers."
    )
    predicted_priority = serializers.FloatField(help_text="1 / (1 + predicted_runtime_ms / 3000), or 0.5.")
    job_type = JobTypeField()
