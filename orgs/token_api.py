"""The REST views that change a refresh token for new tokens, and that end it."""

from __future__ import annotations

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from orgs import refresh
from orgs.api import OpenDoorView, answers
from orgs.limits import count_request
from orgs.queries import checked_body
from orgs.serializers import RefreshSerializer, TokenSerializer
from orgs.token_answers import token_answer


class RefreshView(OpenDoorView):
    @extend_schema(
        request=RefreshSerializer,
        responses=answers(200, TokenSerializer, 400, 401),
        summary="Change a refresh token for a new access token and a new refresh token",
        description="Each refresh token serves once. One that comes a second time was copied: every token that "
        "followed from the same login ends with it, and the user has to log in again. So do not send one twice: "
        "where an answer got lost, log in.",
        tags=["auth"],
        operation_id="auth_refresh",
    )
    def post(self, request: Request) -> Response:
        count_request(request, group="auth.refresh", rate=settings.RATE_REFRESH)
        user, secret = refresh.exchange(checked_body(RefreshSerializer, request)["refresh_token"])
        return token_answer(user, secret)


class LogoutView(OpenDoorView):
    @extend_schema(
        request=RefreshSerializer,
        responses=answers(204, None, 400),
        summary="End a login: its refresh token serves no more",
        description="204 also for a token that serves no more. Access tokens that are out last until they expire.",
        tags=["auth"],
        operation_id="auth_logout",
    )
    def post(self, request: Request) -> Response:
        count_request(request, group="auth.refresh", rate=settings.RATE_REFRESH)
        refresh.end(checked_body(RefreshSerializer, request)["refresh_token"])
        return Response(status=204)
