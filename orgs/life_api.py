"""The REST views of an organisation's life: its settings, its end, and what platform admins do to any of them."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orgs import life, roles, selectors, services
from orgs.api import answers
from orgs.life_serializers import (
    GrantsSerializer,
    OrganizationDeleteSerializer,
    OrganizationDetailSerializer,
    OrganizationSettingsSerializer,
    OwnOrganizationSerializer,
    SuspendSerializer,
)
from orgs.models import Organization, User
from orgs.pagination import OldestFirst
from orgs.queries import checked_body
from orgs.scoping import OrgAPIMixin, org_of, require
from orgs.serializers import OrganizationCreateSerializer


@extend_schema_view(
    get=extend_schema(
        responses=answers(200, OrganizationDetailSerializer(many=True), 400, 401, 403),
        summary="Every organisation of the platform (platform admins)",
        tags=["orgs"],
        operation_id="orgs_list",
    )
)
class OrganizationListView(OrgAPIMixin, ListAPIView[Organization]):
    action_needed = {"GET": roles.PLATFORM_READ}
    serializer_class = OrganizationDetailSerializer
    pagination_class = OldestFirst

    def get_queryset(self) -> QuerySet[Organization]:
        return Organization.objects.all()

    @extend_schema(
        request=OrganizationCreateSerializer,
        responses=answers(201, OrganizationDetailSerializer, 400, 401, 403, 409),
        summary="Create an organisation and become its org admin",
        tags=["orgs"],
        operation_id="orgs_create",
    )
    def post(self, request: Request) -> Response:
        body = checked_body(OrganizationCreateSerializer, request)
        org = services.organization_create(user=self.user, **body)
        return Response(OrganizationDetailSerializer(org).data, status=201)


class OwnOrganizationView(OrgAPIMixin, APIView):
    action_needed = {"PATCH": roles.ORG_MANAGE, "DELETE": roles.ORG_MANAGE}
    for_any_key = True

    @extend_schema(
        responses=answers(200, OwnOrganizationSerializer, 401, 403),
        summary="Your organisation and your role in it",
        tags=["orgs"],
        operation_id="orgs_me",
    )
    def get(self, request: Request) -> Response:
        return Response(_own(self.user, org_of(self.user)))

    @extend_schema(
        request=OrganizationSettingsSerializer,
        responses=answers(200, OwnOrganizationSerializer, 400, 401, 403, 409),
        summary="Change settings of your organisation (org admins)",
        tags=["orgs"],
        operation_id="orgs_me_change",
    )
    def patch(self, request: Request) -> Response:
        values = checked_body(OrganizationSettingsSerializer, request)
        org = life.change_settings(actor=self.user, org=org_of(self.user), **values)
        return Response(_own(self.user, org))

    @extend_schema(
        request=OrganizationDeleteSerializer,
        responses=answers(200, OwnOrganizationSerializer, 400, 401, 403),
        summary="Delete your organisation after a time of grace (org admins)",
        description="Its queued jobs wait and nothing can be submitted; only org admins come in, to read and to take "
        "it back with POST /orgs/me/restore. At `delete_at` everything that it has is removed.",
        tags=["orgs"],
        operation_id="orgs_me_delete",
    )
    def delete(self, request: Request) -> Response:
        values = checked_body(OrganizationDeleteSerializer, request)
        org = life.ask_deletion(actor=self.user, org=org_of(self.user), **values)
        return Response(_own(self.user, org))


class RestoreView(OrgAPIMixin, APIView):
    action_needed = {"POST": roles.ORG_MANAGE}

    @extend_schema(
        request=None,
        responses=answers(200, OwnOrganizationSerializer, 401, 403, 409),
        summary="Take the deletion of your organisation back (org admins)",
        tags=["orgs"],
        operation_id="orgs_me_restore",
    )
    def post(self, request: Request) -> Response:
        return Response(_own(self.user, life.restore(actor=self.user, org=org_of(self.user))))


class PlatformView(OrgAPIMixin, APIView):
    """Of one organisation, for platform admins: to strangers it does not exist, to its members this is forbidden."""

    action_of_keys = dict.fromkeys(("GET", "PATCH", "POST"), roles.PLATFORM_ADMINISTER)

    def org(self, org_id: int) -> Organization:
        org = selectors.organization_of(user=self.user, org_id=org_id)
        require(self.user, roles.PLATFORM_ADMINISTER)
        return org


class OrganizationView(PlatformView):
    @extend_schema(
        responses=answers(200, OrganizationDetailSerializer, 401, 403, 404),
        summary="One organisation (platform admins)",
        tags=["orgs"],
        operation_id="orgs_get",
    )
    def get(self, request: Request, org_id: int) -> Response:
        return Response(OrganizationDetailSerializer(self.org(org_id)).data)

    @extend_schema(
        request=GrantsSerializer,
        responses=answers(200, OrganizationDetailSerializer, 400, 401, 403, 404),
        summary="Change what the platform grants an organisation (platform admins)",
        description="A limit of running or waiting jobs becomes a limit of the organisation at once; one of its own "
        "that is higher is lowered to it.",
        tags=["orgs"],
        operation_id="orgs_change",
    )
    def patch(self, request: Request, org_id: int) -> Response:
        org = self.org(org_id)
        values = checked_body(GrantsSerializer, request)
        return Response(
            OrganizationDetailSerializer(life.change_grants(actor=self.user, org=org, **values)).data
        )


class SuspendView(PlatformView):
    @extend_schema(
        request=SuspendSerializer,
        responses=answers(200, OrganizationDetailSerializer, 400, 401, 403, 404),
        summary="Suspend an organisation (platform admins)",
        description="Its members cannot come in and its queued jobs wait; jobs that run go on.",
        tags=["orgs"],
        operation_id="orgs_suspend",
    )
    def post(self, request: Request, org_id: int) -> Response:
        org = self.org(org_id)
        values = checked_body(SuspendSerializer, request)
        return Response(OrganizationDetailSerializer(life.suspend(actor=self.user, org=org, **values)).data)


class ResumeView(PlatformView):
    @extend_schema(
        request=None,
        responses=answers(200, OrganizationDetailSerializer, 401, 403, 404),
        summary="End the suspension of an organisation (platform admins)",
        tags=["orgs"],
        operation_id="orgs_resume",
    )
    def post(self, request: Request, org_id: int) -> Response:
        return Response(OrganizationDetailSerializer(life.resume(actor=self.user, org=self.org(org_id))).data)


def _own(user: User, org: Organization) -> dict[str, Any]:
    context = {"role": user.role, "member_count": User.objects.filter(org=org).count()}
    return OwnOrganizationSerializer(org, context=context).data
