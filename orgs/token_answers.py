"""The answer that carries tokens: of logging in and of refreshing. No cache on the way may keep it."""

from __future__ import annotations

from django.conf import settings
from rest_framework.response import Response

from orgs import tokens
from orgs.models import User
from orgs.serializers import TokenSerializer

NO_STORE = {"Cache-Control": "no-store"}


def token_answer(user: User, refresh_token: str) -> Response:
    """A new access token of `user`, beside the refresh token."""
    body = {
        "access_token": tokens.issue_access_token(user),
        "token_type": "bearer",  # nosec B105 - what kind of token it is
        "expires_in": settings.JWT_TTL_S,
        "refresh_token": refresh_token,
        "refresh_expires_in": settings.REFRESH_TTL_S,
        "user": user,
    }
    return Response(TokenSerializer(body).data, headers=NO_STORE)
