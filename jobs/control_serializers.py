"""The shapes of what the API of pauses, workers and replays reads and answers. They check shape only."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from jobs import control_selectors, replays
from jobs.models import Pause, Replay
from jobs.payloads import JOB_TYPES
from jobs.replays import ReplayFilter
from jobs.submission import QUEUE_NAME
from orgs.serializers import StrictSerializer

_QUEUE_SENTENCE: dict[str, Any] = {
    "invalid": "Expected 1 to 60 letters, digits, dots, hyphens and underscores."
}


class PauseBodySerializer(StrictSerializer):
    """What to hold back. What is left out stands for any: `{}` pauses everything."""

    queue = serializers.RegexField(
        QUEUE_NAME,
        required=False,
        allow_null=True,
        error_messages=_QUEUE_SENTENCE,
        help_text="Only this queue.",
    )
    type = serializers.ChoiceField(
        choices=JOB_TYPES, required=False, allow_null=True, help_text="Only this job type."
    )
    org_id = serializers.IntegerField(
        min_value=1,
        max_value=2**63 - 1,
        required=False,
        allow_null=True,
        help_text="For platform admins: only this organisation; left out, the whole platform.",
    )
    reason = serializers.CharField(
        max_length=200,
        required=False,
        allow_blank=True,
        help_text="Shown to everybody whose jobs wait for it.",
    )


class PauseSerializer(serializers.ModelSerializer[Pause]):
    """Queued jobs that no worker takes. A null part stands for any."""

    user_id = serializers.IntegerField(
        source="created_by_id", allow_null=True, read_only=True, help_text="Who paused."
    )

    class Meta:
        model = Pause
        fields = ["id", "org_id", "queue", "type", "reason", "user_id", "created_at"]
        read_only_fields = fields


class ReplayFilterSerializer(StrictSerializer):
    """Which ended jobs to replay. What is left out stands for any."""

    status = serializers.ChoiceField(choices=replays.REPLAYABLE, default=ReplayFilter.status)
    type = serializers.ChoiceField(choices=JOB_TYPES, required=False)
    queue = serializers.CharField(max_length=60, required=False)
    name = serializers.CharField(
        max_length=200, required=False, help_text="Part of the name, in upper or lower case."
    )
    tag = serializers.CharField(max_length=60, required=False)
    error_contains = serializers.CharField(
        max_length=200, required=False, help_text="Part of the last error, in upper or lower case."
    )
    finished_after = serializers.DateTimeField(
        required=False, help_text="Ended at or after this time (ISO 8601)."
    )
    finished_before = serializers.DateTimeField(required=False, help_text="Ended before this time.")


class ReplayBodySerializer(StrictSerializer):
    """What to replay, and how fast."""

    filter = ReplayFilterSerializer(required=False)
    rate_per_s = serializers.FloatField(
        min_value=replays.SLOWEST,
        max_value=replays.FASTEST,
        default=replays.DEFAULT_RATE,
        help_text="Jobs submitted per second at most.",
    )


class ReplaySerializer(serializers.ModelSerializer[Replay]):
    """A bulk replay."""

    status = serializers.ChoiceField(choices=replays.STATUSES)
    filter = serializers.DictField(help_text="As asked for.")
    replayed = serializers.IntegerField(help_text="Jobs submitted so far.")

    class Meta:
        model = Replay
        fields = [
            "id",
            "org_id",
            "user_id",
            "filter",
            "rate_per_s",
            "status",
            "replayed",
            "created_at",
            "finished_at",
        ]
        read_only_fields = fields


class ReplayProgressSerializer(ReplaySerializer):
    """A bulk replay, and what it still has before it."""

    remaining = serializers.SerializerMethodField(
        help_text=f"Jobs still to replay, counted up to {control_selectors.COUNT_CAP}; null when it has ended."
    )

    class Meta(ReplaySerializer.Meta):
        fields = [*ReplaySerializer.Meta.fields, "remaining"]
        read_only_fields = fields

    def get_remaining(self, replay: Replay) -> int | None:
        return control_selectors.remaining(replay)


def wanted(body: dict[str, Any]) -> ReplayFilter:
    return ReplayFilter(**body.get("filter", {}))
