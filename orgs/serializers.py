"""The shapes of the bodies that orgs reads and answers; they check shape only, services check meaning.

`StrictSerializer` and `ErrorSerializer` serve the other parts' APIs as well.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.validators import UnicodeUsernameValidator
from rest_framework import serializers

from orgs import roles
from orgs.models import AuditEntry, Organization, User

# Hashing a password costs as much as it is long; nobody types more than this.
LONGEST_PASSWORD = 256
_UNKNOWN_NAMES_TOLD = 20


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields that it does not know, and reports them beside the other errors; names the choices of a field."""

    unknown_field = "Unknown field."

    def get_fields(self) -> dict[str, Any]:
        found = super().get_fields()
        for field in found.values():
            if isinstance(field, serializers.ChoiceField):
                expected = ", ".join(str(choice) for choice in field.choices)
                field.error_messages["invalid_choice"] = f"Expected one of {expected}."
        return found

    def to_internal_value(self, data: Any) -> Any:
        errors: dict[str, Any] = {name: [self.unknown_field] for name in _unknown_names(data, self.fields)}
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if not isinstance(error.detail, dict):
                raise
            errors.update(error.detail)
        if errors:
            raise serializers.ValidationError(errors)
        return values


def _unknown_names(data: Any, fields: Any) -> list[str]:
    if not isinstance(data, dict):
        return []
    return [str(name) for name in data if name not in fields][:_UNKNOWN_NAMES_TOLD]


class ErrorBodySerializer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="Stable name of the error, for programs.")
    message = serializers.CharField(help_text="A sentence, for people.")
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()),
        required=False,
        help_text="What is wrong, by the path of the field in the body.",
    )


class ErrorSerializer(serializers.Serializer[Any]):
    """Every error of the API has this shape."""

    error = ErrorBodySerializer()


class RegisterSerializer(StrictSerializer):
    username = serializers.CharField(max_length=150, validators=[UnicodeUsernameValidator()])
    password = serializers.CharField(max_length=LONGEST_PASSWORD, trim_whitespace=False, write_only=True)
    email = serializers.EmailField(max_length=254, required=False, allow_blank=True)


class LoginSerializer(StrictSerializer):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=LONGEST_PASSWORD, trim_whitespace=False, write_only=True)


class OrganizationCreateSerializer(StrictSerializer):
    name = serializers.CharField(max_length=100)


class InviteSerializer(StrictSerializer):
    username = serializers.CharField(max_length=150)
    role = serializers.ChoiceField(choices=roles.GRANTED_BY_ORG_ADMINS, default=roles.USER)


class UserSerializer(serializers.ModelSerializer[User]):
    email = serializers.CharField(read_only=True, help_text="Empty where none is known.")

    class Meta:
        model = User
        fields = ["id", "username", "email", "role", "org_id", "is_active", "date_joined"]
        read_only_fields = fields


class MemberSerializer(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["id", "username", "role", "is_active", "date_joined"]
        read_only_fields = fields


class RefreshSerializer(StrictSerializer):
    refresh_token = serializers.CharField(max_length=200)


class TokenSerializer(serializers.Serializer[Any]):
    access_token = serializers.CharField()
    token_type = serializers.ChoiceField(choices=["bearer"])
    expires_in = serializers.IntegerField(help_text="Seconds.")
    refresh_token = serializers.CharField(help_text="For POST /auth/refresh, once.")
    refresh_expires_in = serializers.IntegerField(help_text="Seconds.")
    user = UserSerializer()


class OrganizationSerializer(serializers.ModelSerializer[Organization]):
    class Meta:
        model = Organization
        fields = ["id", "name", "created_at"]
        read_only_fields = fields


class AuditQuerySerializer(StrictSerializer):
    """Which entries of the audit log to list."""

    action = serializers.CharField(
        max_length=60,
        required=False,
        help_text="Exactly this action, or all that begin alike: `job.cancel`, `limit.*`.",
    )
    user = serializers.IntegerField(
        min_value=1, max_value=2**63 - 1, required=False, help_text="Id of the user who did it."
    )
    target = serializers.CharField(
        max_length=200, required=False, help_text="A part of the target, any case."
    )
    request_id = serializers.CharField(max_length=64, required=False, help_text="All that one request did.")
    since = serializers.DateTimeField(required=False, help_text="Not before this time.")
    until = serializers.DateTimeField(required=False, help_text="Before this time.")


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    """What somebody did."""

    actor = serializers.CharField(
        source="shown_actor", help_text='The username at that time; "the platform" for what its admins did.'
    )
    user_id = serializers.IntegerField(
        source="shown_user_id", allow_null=True, help_text="null: the platform, or somebody who is gone."
    )
    target = serializers.CharField(help_text="What it was done to.")
    details = serializers.DictField(
        help_text="What else there is to know, with the old state as `from` and the new one as `to`."
    )
    ip = serializers.CharField(
        source="shown_ip", allow_null=True, help_text="Address of the client; null where `user_id` is hidden."
    )
    key_id = serializers.IntegerField(
        source="shown_key_id", allow_null=True, help_text="The API key by which it was done."
    )
    request_id = serializers.CharField(help_text="`X-Request-ID` of the request; empty: a command did it.")
    seq = serializers.IntegerField(help_text="Its number in the organisation, from 1.")
    hash = serializers.CharField(help_text="SHA-256 of the entry and of the hash before it.")

    class Meta:
        model = AuditEntry
        fields = [
            "id", "org_id", "seq", "user_id", "actor", "action", "target", "details", "at", "ip", "key_id",
            "request_id", "hash",
        ]  # fmt: skip
        read_only_fields = fields
