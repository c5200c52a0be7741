"""Who sends an API request, by `Authorization: Bearer <access token or API key>`.

Other schemes are left to the next authenticator (the session of a browser, for the explorer). A bearer
token that is not valid is refused with 401, even where a session would do.
"""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from orgs import bearers, jwt, request_facts
from orgs.admission import admit
from orgs.exceptions import OrganizationClosed
from orgs.models import User


class JWTAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, str] | None:
        scheme, _, token = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        user = _user_of(token.strip())
        if user.key is not None:
            request_facts.current().key_id = user.key.pk
        admit(user)
        return user, token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _user_of(token: str) -> User:
    try:
        return bearers.user_of(token)
    except jwt.ExpiredToken:
        raise AuthenticationFailed("The access token has expired.", "invalid_token") from None
    except jwt.InvalidToken:
        raise AuthenticationFailed("The access token or API key is not valid.", "invalid_token") from None
    except OrganizationClosed as error:
        raise AuthenticationFailed(error.message, error.code) from None
