"""The REST views of limits and shares: parse, call, render."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import limit_selectors, limits
from jobs.limit_models import KEY, ORG, QUEUE
from jobs.limits_serializers import (
    BoundsSerializer,
    LimitSerializer,
    OrgBoundsSerializer,
    OwnShareSerializer,
    WhoseKeySerializer,
    WhoseSerializer,
)
from jobs.models import Limit
from orgs import roles
from orgs.api import answers
from orgs.exceptions import InvalidInput
from orgs.models import Organization, User
from orgs.pagination import IdCursorPagination
from orgs.queries import checked_body, checked_query
from orgs.scoping import OrgAPIMixin, org_of, seen_org
from orgs.selectors import organization_of

CHANGE = {"GET": roles.JOBS_READ, "PUT": roles.LIMITS_MANAGE, "DELETE": roles.LIMITS_MANAGE}


@extend_schema_view(
    get=extend_schema(
        parameters=[WhoseSerializer],
        responses=answers(200, LimitSerializer(many=True), 400, 401, 403, 404),
        summary="The limits of your organisation and their use now, newest first",
        description="Platform admins see those of all organisations, or of the one that `org_id` names.",
        tags=["limits"],
        operation_id="limits_list",
    )
)
class LimitListView(OrgAPIMixin, ListAPIView[Limit]):
    action_needed = {"GET": roles.JOBS_READ}
    serializer_class = LimitSerializer
    pagination_class = IdCursorPagination
    queryset = Limit.objects.none()

    def get_queryset(self) -> QuerySet[Limit]:
        query = checked_query(WhoseSerializer, self.request, besides=("cursor", "page_size"))
        found = limit_selectors.limits(self.user)
        if "org_id" in query:
            found = found.filter(org=organization_of(user=self.user, org_id=query["org_id"]))
        return found

    def paginate_queryset(self, queryset: Any) -> Any:
        return _with_uses(list(super().paginate_queryset(queryset) or ()))


class LimitView(OrgAPIMixin, APIView):
    """One limit by its scope and name."""

    action_needed = CHANGE
    scope = ORG
    query: type[WhoseSerializer] = WhoseSerializer
    body: type[BoundsSerializer] = BoundsSerializer

    def get(self, request: Request, **kwargs: Any) -> Response:
        return _shown(self._limit(request))

    def put(self, request: Request, **kwargs: Any) -> Response:
        org, name = self._named(request)
        bounds = checked_body(self.body, request)
        return _shown(limits.set_limit(user=self.user, org=org, scope=self.scope, name=name, **bounds))

    def delete(self, request: Request, **kwargs: Any) -> Response:
        limits.remove_limit(user=self.user, limit=self._limit(request))
        return Response(status=204)

    def _limit(self, request: Request) -> Limit:
        org, name = self._named(request)
        return limit_selectors.limit_named(self.user, org, self.scope, name)

    def _named(self, request: Request) -> tuple[Organization, str]:
        query = checked_query(self.query, request)
        return _whose(self.user, query.get("org_id")), str(self.kwargs.get("queue") or query.get("name", ""))


def _operations(of: str, name: str, query: type[WhoseSerializer], body: Any) -> Callable[[Any], Any]:
    def told(summary: str, verb: str, responses: Any, **more: Any) -> Any:
        return extend_schema(
            parameters=[query],
            summary=f"{summary} of {of}",
            responses=responses,
            tags=["limits"],
            operation_id=f"limits_{name}_{verb}",
            **more,
        )

    one = answers(200, LimitSerializer, 400, 401, 403, 404)
    set_it = answers(200, LimitSerializer, 400, 401, 403, 404, 409)
    return extend_schema_view(
        get=told("The limit", "get", one),
        put=told(
            "Set the limit",
            "set",
            set_it,
            request=body,
            description="Org admins. In force at once, in place of what was set before; jobs that run go on. At least "
            f"one bound is needed. An organisation has at most {limits.MOST_LIMITS:,} limits: 409.",
        ),
        delete=told("Remove the limit", "delete", answers(204, None, 400, 401, 403, 404)),
    )


@_operations("your organisation", "org", WhoseSerializer, OrgBoundsSerializer)
class OrgLimitView(LimitView):
    body = OrgBoundsSerializer


@_operations("a queue of your organisation", "queue", WhoseSerializer, BoundsSerializer)
class QueueLimitView(LimitView):
    scope = QUEUE


@_operations("a concurrency key", "key", WhoseKeySerializer, BoundsSerializer)
class KeyLimitView(LimitView):
    """Keys may hold any character, also `/`: so the key is a parameter and no part of the path."""

    scope = KEY
    query = WhoseKeySerializer


class ShareView(OrgAPIMixin, APIView):
    action_needed = {"GET": roles.JOBS_READ}

    @extend_schema(
        parameters=[WhoseSerializer],
        responses=answers(200, OwnShareSerializer, 400, 401, 403, 404),
        summary="What your organisation has received of the workers' time",
        tags=["limits"],
        operation_id="shares_get",
    )
    def get(self, request: Request) -> Response:
        org = _whose(self.user, checked_query(WhoseSerializer, request).get("org_id"))
        return Response(OwnShareSerializer(limit_selectors.share(org)).data)


def _whose(user: User, org_id: int | None) -> Organization:
    if org_id is not None:
        return organization_of(user=user, org_id=org_id)
    if org := seen_org(user):
        return org
    if user.acts_everywhere:
        raise InvalidInput(fields={"org_id": ["Say whose: you belong to no organisation."]})
    return org_of(user)


def _with_uses(shown: list[Limit]) -> list[Limit]:
    uses = limit_selectors.uses(shown)
    for limit in shown:
        setattr(limit, "use", uses.get(limit.pk, limit_selectors.UNKNOWN))  # noqa: B010 - no field of the model
    return shown


def _shown(limit: Limit) -> Response:
    return Response(LimitSerializer(_with_uses([limit])[0]).data)
