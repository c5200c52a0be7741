"""Access tokens: which claims ours carry, and the user that a token stands for.

SMARTQUEUE_JWT_SECRET signs; it and SMARTQUEUE_JWT_PREVIOUS_SECRETS verify, so that a secret can be
changed without logging everybody out. Called by the login view and `orgs.authentication`.
"""

from __future__ import annotations

import time
import uuid

from django.conf import settings

from orgs import jwt
from orgs.models import User

ISSUER = AUDIENCE = "smartqueue"
_LARGEST_ID = 2**63 - 1


def issue_access_token(user: User, *, now: float | None = None) -> str:
    """A token for `user`, valid for settings.JWT_TTL_S seconds from `now` (Unix time)."""
    issued_at = int(time.time() if now is None else now)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": str(user.pk),
        "iat": issued_at,
        "exp": issued_at + settings.JWT_TTL_S,
        "jti": uuid.uuid4().hex,
    }
    return jwt.encode(claims, secret=settings.JWT_SECRET)


def user_of_access_token(token: str) -> User:
    """The active user whom `token` stands for; raises jwt.InvalidToken."""
    secrets = [settings.JWT_SECRET, *settings.JWT_PREVIOUS_SECRETS]
    subject = jwt.decode(token, secrets=secrets, issuer=ISSUER, audience=AUDIENCE)["sub"]
    if not (subject.isascii() and subject.isdigit() and int(subject) <= _LARGEST_ID):
        raise jwt.InvalidToken("sub is not a user.")
    user = User.objects.select_related("org").filter(pk=int(subject), is_active=True).first()
    if user is None:
        raise jwt.InvalidToken("The user of this token is gone or inactive.")
    return user
