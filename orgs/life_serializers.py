"""The shapes of the bodies about an organisation's life: settings, grants, members' roles, invitations."""

from __future__ import annotations

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from orgs import actors, invitations, roles
from orgs.models import Invitation, Organization, User
from orgs.serializers import StrictSerializer

OPEN, SUSPENDED, CLOSING = STANDINGS = ("open", "suspended", "to be deleted")
LARGEST_GRANT = 1_000_000


class OrganizationSettingsSerializer(StrictSerializer):
    name = serializers.CharField(max_length=100, required=False)
    viewers_see_content = serializers.BooleanField(
        required=False, help_text="Whether viewers see payloads, results, output and error texts."
    )


class OrganizationDeleteSerializer(StrictSerializer):
    confirm = serializers.CharField(max_length=100, help_text="The name of the organisation.")


class GrantsSerializer(StrictSerializer):
    """What the platform grants; null takes a restriction away. Fields that are left out stay as they are."""

    weight = serializers.FloatField(min_value=0.01, max_value=100, required=False)
    job_types = serializers.ListField(
        child=serializers.ChoiceField(choices=settings.KNOWN_JOB_TYPES),
        required=False,
        allow_null=True,
        help_text="The job types that it may submit; null: those of SMARTQUEUE_JOB_TYPES.",
    )
    granted_running = serializers.IntegerField(
        min_value=0,
        max_value=LARGEST_GRANT,
        required=False,
        allow_null=True,
        help_text="Jobs running at once.",
    )
    granted_queued = serializers.IntegerField(
        min_value=0,
        max_value=LARGEST_GRANT,
        required=False,
        allow_null=True,
        help_text="Jobs waiting at once.",
    )
    retention_days = serializers.IntegerField(
        min_value=1,
        max_value=3650,
        required=False,
        allow_null=True,
        help_text="Days for which ended jobs are kept; null: as SMARTQUEUE_RETENTION_DAYS says.",
    )


class SuspendSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=200, help_text="For the audit log.")


class OrganizationDetailSerializer(serializers.ModelSerializer[Organization]):
    """An organisation with its settings and what the platform grants it."""

    job_types = serializers.SerializerMethodField(help_text="The job types that it may submit.")
    standing = serializers.SerializerMethodField()

    class Meta:
        model = Organization
        fields = [
            "id",
            "name",
            "created_at",
            "standing",
            "suspended_at",
            "delete_at",
            "viewers_see_content",
            "weight",
            "job_types",
            "granted_running",
            "granted_queued",
            "retention_days",
        ]
        read_only_fields = fields

    @extend_schema_field(
        serializers.ListField(child=serializers.ChoiceField(choices=settings.KNOWN_JOB_TYPES))
    )
    def get_job_types(self, org: Organization) -> list[str]:
        return list(settings.JOB_TYPES_FOR_ALL if org.job_types is None else org.job_types)

    @extend_schema_field(serializers.ChoiceField(choices=STANDINGS))
    def get_standing(self, org: Organization) -> str:
        if org.suspended_at is not None:
            return SUSPENDED
        return OPEN if org.delete_at is None else CLOSING


class OwnOrganizationSerializer(OrganizationDetailSerializer):
    """One's own organisation, and oneself in it: the context has `role` and `member_count`."""

    role = serializers.SerializerMethodField(help_text="Your role in it.")
    member_count = serializers.SerializerMethodField()

    class Meta(OrganizationDetailSerializer.Meta):
        fields = [*OrganizationDetailSerializer.Meta.fields, "role", "member_count"]
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=list(roles.ROLES.items())))
    def get_role(self, org: Organization) -> str:
        return str(self.context["role"])

    def get_member_count(self, org: Organization) -> int:
        return int(self.context["member_count"])


class RoleSerializer(StrictSerializer):
    role = serializers.ChoiceField(choices=roles.GRANTED_BY_ORG_ADMINS)


class HandOverSerializer(StrictSerializer):
    user_id = serializers.IntegerField(
        min_value=1, max_value=2**63 - 1, help_text="A member, who becomes org admin."
    )


class InvitationCreateSerializer(StrictSerializer):
    role = serializers.ChoiceField(choices=roles.GRANTED_BY_ORG_ADMINS, default=roles.USER)
    note = serializers.CharField(
        max_length=invitations.LONGEST_NOTE, default="", allow_blank=True, help_text="Whom it is for."
    )
    expires_in_h = serializers.IntegerField(
        min_value=1, max_value=invitations.LONGEST_H, default=invitations.USUAL_H, help_text="Hours."
    )


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    """An invitation by link, without the link."""

    state = serializers.SerializerMethodField()
    created_by = serializers.SerializerMethodField()
    accepted_by = serializers.SerializerMethodField()

    class Meta:
        model = Invitation
        fields = [
            "id",
            "role",
            "note",
            "state",
            "created_by",
            "created_at",
            "expires_at",
            "accepted_by",
            "accepted_at",
            "revoked_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=invitations.STATES))
    def get_state(self, invitation: Invitation) -> str:
        return invitations.state_of(invitation)

    def get_created_by(self, invitation: Invitation) -> str | None:
        return self._name(invitation.created_by, invitation.created_by_id)

    def get_accepted_by(self, invitation: Invitation) -> str | None:
        return self._name(invitation.accepted_by, invitation.accepted_by_id)

    def _name(self, user: User | None, user_id: int | None) -> str | None:
        return actors.name_for(self.context["request"].user, user, user_id) or None


class NewInvitationSerializer(InvitationSerializer):
    """With the token, which is not kept: it cannot be shown again."""

    token = serializers.SerializerMethodField(help_text="For POST /invitations/accept; shown this once.")
    link = serializers.SerializerMethodField(help_text="The page that asks whether to accept.")

    class Meta(InvitationSerializer.Meta):
        fields = [*InvitationSerializer.Meta.fields, "token", "link"]
        read_only_fields = fields

    def get_token(self, invitation: Invitation) -> str:
        return str(self.context["token"])

    def get_link(self, invitation: Invitation) -> str:
        return invitations.link(self.context["request"], str(self.context["token"]))


class AcceptSerializer(StrictSerializer):
    token = serializers.CharField(max_length=500)
