"""The REST views of members and of invitations by link: parse, call orgs.memberships or orgs.invitations, render."""

from __future__ import annotations

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orgs import invitations, memberships, roles, selectors
from orgs.api import answers
from orgs.life_serializers import (
    AcceptSerializer,
    HandOverSerializer,
    InvitationCreateSerializer,
    InvitationSerializer,
    NewInvitationSerializer,
    RoleSerializer,
)
from orgs.limits import count_request
from orgs.models import Invitation
from orgs.pagination import IdCursorPagination
from orgs.queries import checked_body
from orgs.scoping import OrgAPIMixin
from orgs.serializers import MemberSerializer, OrganizationSerializer
from orgs.token_answers import NO_STORE


class MemberView(OrgAPIMixin, APIView):
    action_needed = {"PATCH": roles.MEMBERS_MANAGE, "DELETE": roles.MEMBERS_MANAGE}

    @extend_schema(
        request=RoleSerializer,
        responses=answers(200, MemberSerializer, 400, 401, 403, 404, 409),
        summary="Give a member another role (org admins)",
        description="409 (`last_org_admin`) where the organisation would be left without an active org admin.",
        tags=["orgs"],
        operation_id="orgs_me_member_change",
    )
    def patch(self, request: Request, user_id: int) -> Response:
        member = selectors.member(user=self.user, user_id=user_id)
        values = checked_body(RoleSerializer, request)
        changed = memberships.change_role(actor=self.user, member=member, **values)
        return Response(MemberSerializer(changed).data)

    @extend_schema(
        responses=answers(204, None, 401, 403, 404, 409),
        summary="Remove a member (org admins)",
        description="The user stays, without an organisation; API keys and refresh tokens end at once. Jobs stay the "
        "organisation's.",
        tags=["orgs"],
        operation_id="orgs_me_member_remove",
    )
    def delete(self, request: Request, user_id: int) -> Response:
        memberships.remove(actor=self.user, member=selectors.member(user=self.user, user_id=user_id))
        return Response(status=204)


class LeaveView(OrgAPIMixin, APIView):
    @extend_schema(
        request=None,
        responses=answers(204, None, 401, 403, 409),
        summary="Leave your organisation",
        description="Your API keys and refresh tokens end; your jobs stay the organisation's. The last active org "
        "admin cannot leave (409).",
        tags=["orgs"],
        operation_id="orgs_me_leave",
    )
    def post(self, request: Request) -> Response:
        memberships.leave(user=self.user)
        return Response(status=204)


class HandOverView(OrgAPIMixin, APIView):
    action_needed = {"POST": roles.ORG_MANAGE}

    @extend_schema(
        request=HandOverSerializer,
        responses=answers(200, MemberSerializer, 400, 401, 403, 404, 409),
        summary="Make a member org admin in your place (org admins)",
        tags=["orgs"],
        operation_id="orgs_me_hand_over",
    )
    def post(self, request: Request) -> Response:
        values = checked_body(HandOverSerializer, request)
        member = selectors.member(user=self.user, user_id=values["user_id"])
        return Response(MemberSerializer(memberships.hand_over(actor=self.user, member=member)).data)


@extend_schema_view(
    get=extend_schema(
        responses=answers(200, InvitationSerializer(many=True), 400, 401, 403),
        summary="The invitations into your organisation, newest first (org admins)",
        tags=["orgs"],
        operation_id="orgs_me_invitations",
    )
)
class InvitationListView(OrgAPIMixin, ListAPIView[Invitation]):
    action_needed = {"GET": roles.MEMBERS_MANAGE, "POST": roles.MEMBERS_MANAGE}
    serializer_class = InvitationSerializer
    pagination_class = IdCursorPagination
    queryset = Invitation.objects.none()

    def get_queryset(self) -> QuerySet[Invitation]:
        return invitations.listed(self.user)

    @extend_schema(
        request=InvitationCreateSerializer,
        responses=answers(201, NewInvitationSerializer, 400, 401, 403, 409),
        summary="Invite somebody by a link (org admins)",
        description="The answer holds the token and the link, which are not kept. Whoever opens the link first, logged "
        "in and without an organisation, becomes a member.",
        tags=["orgs"],
        operation_id="orgs_me_invite",
    )
    def post(self, request: Request) -> Response:
        values = checked_body(InvitationCreateSerializer, request)
        made, token = invitations.invite(actor=self.user, **values)
        shown = NewInvitationSerializer(made, context={"request": request, "token": token})
        return Response(shown.data, status=201, headers=NO_STORE)


class InvitationView(OrgAPIMixin, APIView):
    action_needed = {"DELETE": roles.MEMBERS_MANAGE}

    @extend_schema(
        responses=answers(204, None, 401, 403, 404),
        summary="Revoke an invitation (org admins)",
        tags=["orgs"],
        operation_id="orgs_me_invitation_revoke",
    )
    def delete(self, request: Request, invitation_id: int) -> Response:
        invitations.revoke(actor=self.user, invitation_id=invitation_id)
        return Response(status=204)


class AcceptView(OrgAPIMixin, APIView):
    @extend_schema(
        request=AcceptSerializer,
        responses=answers(200, OrganizationSerializer, 400, 401, 403, 409, 410),
        summary="Accept an invitation and become a member",
        description="400 (`invitation_invalid`) for a token that was not made here, 409 (`invitation_used`) for one "
        "that was accepted already, 410 (`invitation_over`) for one that has expired or was revoked.",
        tags=["orgs"],
        operation_id="invitations_accept",
    )
    def post(self, request: Request) -> Response:
        count_request(request, group="invitation.accept", rate=settings.RATE_INVITATION)
        org = invitations.accept(user=self.user, **checked_body(AcceptSerializer, request))
        return Response(OrganizationSerializer(org).data)
