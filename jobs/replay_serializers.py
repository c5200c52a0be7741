"""The shapes of what the API of replays reads and answers. They check shape only."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from jobs import replay_selectors, replays
from jobs.models import Replay
from jobs.payloads import JOB_TYPES
from jobs.replays import ReplayFilter
from jobs.selectors import Counted
from orgs import actors
from orgs.serializers import StrictSerializer


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
    org_id = serializers.IntegerField(
        min_value=1,
        max_value=2**63 - 1,
        required=False,
        help_text="For platform admins: the organisation whose jobs to replay; left out, their own.",
    )
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
    user_id = serializers.SerializerMethodField(
        help_text="Who asked for it; null: the platform, or somebody gone."
    )

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

    def get_user_id(self, replay: Replay) -> int | None:
        return actors.id_for(self.context["request"].user, replay.user)


class ReplayProgressSerializer(ReplaySerializer):
    """A bulk replay, and what it still has before it: `ahead` of the context."""

    remaining = serializers.SerializerMethodField(
        help_text=f"Jobs still to replay: up to {replay_selectors.COUNT_CAP}, among the next "
        f"{replay_selectors.COUNT_REACH} jobs of that status; null when it has ended."
    )
    remaining_capped = serializers.SerializerMethodField(
        help_text="Counting stopped at `remaining`: there may be more."
    )

    class Meta(ReplaySerializer.Meta):
        fields = [*ReplaySerializer.Meta.fields, "remaining", "remaining_capped"]
        read_only_fields = fields

    def get_remaining(self, replay: Replay) -> int | None:
        ahead: Counted | None = self.context["ahead"]
        return None if ahead is None else ahead.number

    def get_remaining_capped(self, replay: Replay) -> bool:
        ahead: Counted | None = self.context["ahead"]
        return ahead is not None and ahead.capped


def wanted(body: dict[str, Any]) -> ReplayFilter:
    return ReplayFilter(**body.get("filter", {}))
