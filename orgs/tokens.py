"""Access tokens: which claims ours carry, and the user that a token stands for.

SMARTQUEUE_JWT_SECRET signs; it and SMARTQUEUE_JWT_PREVIOUS_SECRETS verify, so that a secret can be
changed without logging everybody out. Called by the login view and `orgs.authentication`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.db import connection

from orgs import jwt, walls
from orgs.models import Organization, User

ISSUER = AUDIENCE = "smartqueue"
_LARGEST_ID = 2**63 - 1
# In the order of the models, as `from_db` takes them.
_OF_USER = ("id", "username", "is_active", "role", "org_id")
_OF_ORG = tuple(field.attname for field in Organization._meta.concrete_fields)
COLUMNS = ", ".join((*(f"u.{name}" for name in _OF_USER), *(f"o.{name}" for name in _OF_ORG)))
_ACTIVE = f"""
SELECT {COLUMNS}
FROM orgs_user u LEFT JOIN orgs_organization o ON o.id = u.org_id
WHERE u.id = ANY(%s) AND u.is_active
"""  # noqa: S608 - names of columns


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
    return user_with_id(subject_of(token))


def user_with_id(user_id: int) -> User:
    """The active user whom a token was issued for; raises jwt.InvalidToken."""
    with walls.everything():
        user = User.objects.select_related("org").filter(pk=user_id, is_active=True).first()
    if user is None:
        raise jwt.InvalidToken("The user of this token is gone or inactive.")
    return user


def subject_of(token: str) -> int:
    """The id of the user whom `token` was issued for; raises jwt.InvalidToken."""
    secrets = [settings.JWT_SECRET, *settings.JWT_PREVIOUS_SECRETS]
    subject = jwt.decode(token, secrets=secrets, issuer=ISSUER, audience=AUDIENCE)["sub"]
    if not (subject.isascii() and subject.isdigit() and int(subject) <= _LARGEST_ID):
        raise jwt.InvalidToken("sub is not a user.")
    return int(subject)


def active_users(ids: Collection[int]) -> dict[int, User]:
    """Those of `ids` that are active, with their organisations; other fields are read when asked for.

    In plain SQL, because building the query costs several times as much as its answer.
    """
    with walls.everything(), connection.cursor() as cursor:
        cursor.execute(_ACTIVE, [list(ids)])
        rows = cursor.fetchall()
    return {row[0]: user_from(row) for row in rows}


def user_from(row: tuple[Any, ...]) -> User:
    """The user and organisation of a row that begins with COLUMNS; other fields are read when asked for."""
    user = User.from_db(connection.alias, _OF_USER, row[: len(_OF_USER)])
    of_org = row[len(_OF_USER) : len(_OF_USER) + len(_OF_ORG)]
    user.org = Organization.from_db(connection.alias, _OF_ORG, of_org) if user.org_id else None
    return user
