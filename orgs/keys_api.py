"""The REST views of API keys: parse, call orgs.api_keys, render. They themselves take no API key."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from orgs import api_keys, key_selectors, roles
from orgs.api import answers
from orgs.keys_serializers import KeyCreateSerializer, KeySerializer, NewKeySerializer
from orgs.models import ApiKey
from orgs.pagination import IdCursorPagination
from orgs.queries import checked_body
from orgs.scoping import OrgAPIMixin
from orgs.token_answers import NO_STORE


@extend_schema_view(
    get=extend_schema(
        responses=answers(200, KeySerializer(many=True), 400, 401, 403),
        summary="Your API keys, newest first",
        description="Org admins see those of all members. Revoked and expired keys stay in the list.",
        tags=["keys"],
        operation_id="keys_list",
    )
)
class KeyListView(OrgAPIMixin, ListAPIView[ApiKey]):
    action_needed = {"GET": roles.KEYS_OWN, "POST": roles.KEYS_OWN}
    serializer_class = KeySerializer
    pagination_class = IdCursorPagination
    queryset = ApiKey.objects.none()

    def get_queryset(self) -> QuerySet[ApiKey]:
        return key_selectors.shown(self.user)

    @extend_schema(
        request=KeyCreateSerializer,
        responses=answers(201, NewKeySerializer, 400, 401, 403, 409),
        summary="Make an API key for a program",
        description="The answer holds the key, which is not kept: it cannot be shown again. It does what its scopes "
        "and your role allow, as long as you are an active member of the organisation. Keys are made by people: a "
        f"request that comes by a key cannot make one. You have at most {api_keys.MOST_KEYS} in force: 409.",
        tags=["keys"],
        operation_id="keys_create",
    )
    def post(self, request: Request) -> Response:
        key, secret = api_keys.create(user=self.user, **checked_body(KeyCreateSerializer, request))
        made = key_selectors.shown(self.user).get(pk=key.pk)
        shown = NewKeySerializer(made, context={"key": secret})
        return Response(shown.data, status=201, headers=NO_STORE)


class KeyView(OrgAPIMixin, APIView):
    action_needed = {"DELETE": roles.KEYS_OWN}

    @extend_schema(
        responses=answers(204, None, 401, 403, 404),
        summary="Revoke an API key",
        description="It is refused from the next request on. Org admins may revoke those of all members.",
        tags=["keys"],
        operation_id="keys_revoke",
    )
    def delete(self, request: Request, key_id: int) -> Response:
        api_keys.revoke(user=self.user, key=api_keys.key_of(self.user, key_id))
        return Response(status=204)
