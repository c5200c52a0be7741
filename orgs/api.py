"""The REST views of accounts and organisations: parse, call a service or selector, render."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orgs import audit, refresh, roles, selectors, services
from orgs.exceptions import InvalidCredentials
from orgs.limits import count_request
from orgs.models import AuditEntry, User
from orgs.pagination import IdCursorPagination, OldestFirst
from orgs.queries import checked_query
from orgs.scoping import OrgAPIMixin, require
from orgs.serializers import (
    AuditEntrySerializer,
    AuditQuerySerializer,
    ErrorSerializer,
    InviteSerializer,
    LoginSerializer,
    MemberSerializer,
    RegisterSerializer,
    TokenSerializer,
    UserSerializer,
)
from orgs.token_answers import token_answer


def answers(success: int, shape: Any, *errors: int) -> dict[int, Any]:
    """The `responses` of a view for the OpenAPI schema; every error has the one shape."""
    return {success: shape, **dict.fromkeys((*errors, 429, 503), ErrorSerializer)}


class OpenDoorView(APIView):
    """A view for visitors: no token is read, so a stale one does not stand in the way."""

    authentication_classes = ()
    permission_classes = (AllowAny,)


class RegisterView(OpenDoorView):
    @extend_schema(
        request=RegisterSerializer,
        responses=answers(201, UserSerializer, 400, 409, 429),
        summary="Create a user without an organisation",
        tags=["auth"],
        operation_id="auth_register",
    )
    def post(self, request: Request) -> Response:
        count_request(request, group="auth.register", rate=settings.RATE_REGISTER)
        body = RegisterSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        user = services.user_register(**body.validated_data)
        return Response(UserSerializer(user).data, status=201)


class LoginView(OpenDoorView):
    @extend_schema(
        request=LoginSerializer,
        responses=answers(200, TokenSerializer, 400, 401, 429),
        summary="Change a username and password for an access token and a refresh token",
        tags=["auth"],
        operation_id="auth_login",
    )
    def post(self, request: Request) -> Response:
        count_request(request, group="auth.login", rate=settings.RATE_LOGIN)
        body = LoginSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        user = authenticate(request, **body.validated_data)
        if not isinstance(user, User):
            raise InvalidCredentials
        return token_answer(user, refresh.log_in(user))


@extend_schema_view(
    get=extend_schema(
        responses=answers(200, UserSerializer(many=True), 400, 401, 403),
        summary="Every user of the platform (platform admins)",
        tags=["auth"],
        operation_id="auth_users",
    )
)
class UserListView(OrgAPIMixin, ListAPIView[User]):
    action_needed = {"GET": roles.PLATFORM_READ}
    serializer_class = UserSerializer
    pagination_class = OldestFirst

    def get_queryset(self) -> QuerySet[User]:
        return selectors.all_users()


class InviteView(OrgAPIMixin, APIView):
    action_of_keys = {"POST": roles.MEMBERS_MANAGE}

    @extend_schema(
        request=InviteSerializer,
        responses=answers(201, MemberSerializer, 400, 401, 403, 404, 409),
        summary="Make an existing user a member",
        tags=["orgs"],
        operation_id="orgs_invite",
    )
    def post(self, request: Request, org_id: int) -> Response:
        org = selectors.organization_of(user=self.user, org_id=org_id)
        require(self.user, roles.MEMBERS_MANAGE)
        body = InviteSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        member = services.organization_invite(org=org, actor=self.user, **body.validated_data)
        return Response(MemberSerializer(member).data, status=201)


@extend_schema_view(
    get=extend_schema(
        responses=answers(200, MemberSerializer(many=True), 400, 401, 403),
        summary="The members of your organisation",
        tags=["orgs"],
        operation_id="orgs_me_members",
    )
)
class MemberListView(OrgAPIMixin, ListAPIView[User]):
    action_needed = {"GET": roles.MEMBERS_READ}
    serializer_class = MemberSerializer
    pagination_class = OldestFirst

    def get_queryset(self) -> QuerySet[User]:
        return selectors.members(user=self.user)


@extend_schema_view(
    get=extend_schema(
        parameters=[AuditQuerySerializer],
        responses=answers(200, AuditEntrySerializer(many=True), 400, 401, 403),
        summary="What people did in your organisation, newest first (org admins)",
        description="Noted are logins, invitations and members, changes of role, activity, organisation and password, "
        "API keys, settings of the organisation, limits, pauses, replays, cancelled jobs, what workers are told and "
        "models put in force. `seq` counts the entries of an organisation without a gap, and `hash` covers an entry "
        "and the one before it. Platform admins read the entries of all organisations and of the platform.",
        tags=["orgs"],
        operation_id="orgs_me_audit",
    )
)
class AuditView(OrgAPIMixin, ListAPIView[AuditEntry]):
    action_needed = {"GET": roles.AUDIT_READ}
    serializer_class = AuditEntrySerializer
    pagination_class = IdCursorPagination
    queryset = AuditEntry.objects.none()

    def get_queryset(self) -> QuerySet[AuditEntry]:
        query = checked_query(AuditQuerySerializer, self.request, besides=("cursor", "page_size"))
        return audit.entries(self.user, audit.Wanted(**query))
