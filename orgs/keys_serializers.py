"""The shapes of API keys in the REST API; `orgs.api_keys` judges what they say."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from orgs import roles
from orgs.api_keys import LONGEST_NAME
from orgs.models import ApiKey
from orgs.serializers import StrictSerializer


class KeyCreateSerializer(StrictSerializer):
    name = serializers.CharField(max_length=LONGEST_NAME, help_text="What the key is for.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=list(roles.SCOPES)),
        allow_empty=False,
        max_length=len(roles.SCOPES),
        help_text="What the key may do, as far as your role allows it.",
    )
    expires_in_days = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=100_000,
        help_text="Left out or null: as many as the platform allows (SMARTQUEUE_API_KEY_MAX_DAYS).",
    )


class KeySerializer(serializers.ModelSerializer[ApiKey]):
    """An API key without its secret."""

    user_id = serializers.IntegerField(
        source="shown_user_id", allow_null=True, help_text="Whom it acts for; null: nobody whom you know."
    )
    username = serializers.CharField(source="shown_user")
    prefix = serializers.CharField(help_text="The beginning of the key, to recognise it by.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=list(roles.SCOPES)))
    in_force = serializers.BooleanField(
        source="is_in_force", help_text="Neither revoked nor expired, and its user is an active member."
    )
    last_used_at = serializers.DateTimeField(allow_null=True, help_text="To the minute.")

    class Meta:
        model = ApiKey
        fields = [
            "id", "org_id", "user_id", "username", "name", "prefix", "scopes", "in_force",
            "created_at", "expires_at", "revoked_at", "last_used_at",
        ]  # fmt: skip
        read_only_fields = fields


class NewKeySerializer(KeySerializer):
    """An API key with its secret, which is shown this once."""

    key = serializers.CharField(help_text="Send it as `Authorization: Bearer KEY`. It is not shown again.")

    class Meta(KeySerializer.Meta):
        fields = [*KeySerializer.Meta.fields, "key"]

    def to_representation(self, instance: ApiKey) -> dict[str, Any]:
        instance.key = self.context["key"]  # type: ignore[attr-defined]
        return super().to_representation(instance)
