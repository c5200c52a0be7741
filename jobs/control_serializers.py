"""The shapes of what the API of pauses reads and answers. They check shape only."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from jobs.models import Pause
from jobs.payloads import JOB_TYPES
from jobs.submission import QUEUE_NAME
from orgs import actors
from orgs.serializers import StrictSerializer

_QUEUE_SENTENCE: dict[str, Any] = {
    "invalid": "Expected 1 to 60 letters, digits, dots, hyphens and underscores."
}


class PauseBodySerializer(StrictSerializer):
    """What to hold back. What is left out stands for any: `{}` pauses everything of the organisation."""

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
        help_text="For platform admins, who must give it: only this organisation; null, the whole platform.",
    )
    reason = serializers.CharField(
        max_length=200,
        required=False,
        allow_blank=True,
        help_text="Shown to everybody whose jobs wait for it.",
    )


class PauseSerializer(serializers.ModelSerializer[Pause]):
    """Queued jobs that no worker takes. A null part stands for any."""

    user_id = serializers.SerializerMethodField(help_text="Who paused; null: the platform, or somebody gone.")

    class Meta:
        model = Pause
        fields = ["id", "org_id", "queue", "type", "reason", "user_id", "created_at"]
        read_only_fields = fields

    def get_user_id(self, pause: Pause) -> int | None:
        return actors.id_for(self.context["request"].user, pause.created_by)
