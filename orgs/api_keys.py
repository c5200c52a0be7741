"""API keys of programs: made, shown once, looked up at each request, revoked.

A key is `sq_<8 characters>_<secret>`; only its SHA-256 is kept, which is enough for a secret of 256 random bits. It
acts for its user, within the user's role and its scopes, as long as the user is an active member of an open
organisation. Nothing is cached: a revoked key is refused from the next request on. Called by orgs.bearers,
orgs.keys_api and the pages.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from orgs import audit, roles, tokens, walls
from orgs.acting import still_may
from orgs.exceptions import Conflict, InvalidInput, NotFound
from orgs.models import ApiKey, User
from orgs.scoping import org_of, require, scoped

MOST_KEYS = 100
LONGEST_NAME = 100

_START = "sq_"
_FORM = re.compile(r"sq_[a-z0-9]{8}_[A-Za-z0-9_-]{43}")
_LETTERS = string.ascii_lowercase + string.digits
# In the order of the model, as `from_db` takes them.
_OF_KEY = ("id", "name", "prefix", "secret_hash", "scopes", "last_used_at")
_BY_HASH = f"""
SELECT {tokens.COLUMNS}, {", ".join(f"k.{name}" for name in _OF_KEY)},
       k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute'
FROM orgs_apikey k JOIN orgs_user u ON u.id = k.user_id AND u.org_id = k.org_id
JOIN orgs_organization o ON o.id = k.org_id
WHERE k.secret_hash = ANY(%s) AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    AND u.is_active
"""  # noqa: S608 - names of columns
# Whoever meets a locked row leaves it: somebody else is writing the same moment.
_USED = """
UPDATE orgs_apikey SET last_used_at = now() WHERE id IN (
    SELECT id FROM orgs_apikey
    WHERE id = ANY(%s) AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
    FOR NO KEY UPDATE SKIP LOCKED
)
"""


@transaction.atomic
def create(
    *, user: User, name: str, scopes: Sequence[str], expires_in_days: int | None = None
) -> tuple[ApiKey, str]:
    """A new key of `user` in the own organisation, and the key itself, which is not kept.

    Without `expires_in_days` it lasts as long as settings.API_KEY_MAX_DAYS allows. Raises Forbidden, NoOrganization,
    InvalidInput, and Conflict where the user has MOST_KEYS keys in force.
    """
    org = org_of(require(user, roles.KEYS_OWN))
    name, days = _checked(user, name, scopes, expires_in_days)
    User.objects.select_for_update(no_key=True).get(
        pk=user.pk
    )  # whoever else makes one waits: they are counted
    still_may(user, roles.KEYS_OWN, of=org)
    if in_force(ApiKey.objects.filter(user=user)).count() >= MOST_KEYS:
        raise Conflict(f"You have {MOST_KEYS} API keys in force: revoke one first.")
    prefix = _START + "".join(secrets.choice(_LETTERS) for _ in range(8))
    secret = f"{prefix}_{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        org=org,
        user=user,
        name=name,
        prefix=prefix,
        secret_hash=hash_of(secret),
        scopes=sorted(set(scopes)),
        expires_at=timezone.now() + timedelta(days=days) if days else None,
    )
    details = {"key_id": key.pk, "scopes": key.scopes, "expires_in_days": days}
    audit.record(org=org, user=user, action="key.create", target=str(key), details=details)
    key.refresh_from_db(fields=["created_at"])
    return key, secret


@transaction.atomic
def revoke(*, user: User, key: ApiKey) -> None:
    """End a key at once; one that was revoked stays so. Raises NotFound for a key that `user` may not see."""
    found = keys(user).filter(pk=key.pk).select_for_update(of=("self",)).first()
    if found is None:
        raise NotFound
    if found.revoked_at is None:
        _revoke([found], user)


@transaction.atomic
def revoke_all(*, of: User, by: User | None) -> None:
    """End every key of a user who leaves the organisation; `by` None: the platform itself."""
    _revoke(list(ApiKey.objects.filter(user=of, revoked_at=None).select_for_update()), by)


def keys(user: User) -> QuerySet[ApiKey]:
    """The keys that `user` may see and revoke: the own ones, or all of the organisation. Unordered."""
    found = scoped(ApiKey.objects.all(), user)
    return found if user.may(roles.KEYS_MANAGE) else found.filter(user=user)


def key_of(user: User, key_id: int) -> ApiKey:
    """One of `keys`; raises NotFound."""
    key = keys(user).filter(pk=key_id).first()
    if key is None:
        raise NotFound
    return key


def in_force(found: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
    """Those neither revoked nor expired."""
    return found.filter(revoked_at=None).exclude(expires_at__lte=Now())


def scopes_for(user: User) -> list[str]:
    """The scopes that a key of `user` may have: those that cover something the role allows."""
    return [
        scope
        for scope, actions in roles.SCOPES.items()
        if any(
            roles.may(user.role, action) or roles.may_if_org_allows(user.role, action) for action in actions
        )
    ]


def is_key(token: str) -> bool:
    """Whether a bearer token is meant as an API key; it may still be none."""
    return token.startswith(_START)


def has_form(token: str) -> bool:
    return _FORM.fullmatch(token) is not None


def hash_of(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def users_of_keys(hashes: Collection[str]) -> dict[str, User]:
    """By hash, the users of those keys that are in force, with `user.key` set and their organisation, open or not.

    Notes the use, at most once a minute for each key.
    """
    with walls.everything(), connection.cursor() as cursor:
        cursor.execute(_BY_HASH, [list(hashes)])
        rows = cursor.fetchall()
        if idle := [row[-len(_OF_KEY) - 1] for row in rows if row[-1]]:
            cursor.execute(_USED, [idle])
    users = [_user(row) for row in rows]
    return {key.secret_hash: user for user in users if (key := user.key)}


def _user(row: tuple[Any, ...]) -> User:
    user = tokens.user_from(row)
    user.key = ApiKey.from_db(connection.alias, _OF_KEY, row[-len(_OF_KEY) - 1 : -1])
    return user


def _checked(user: User, name: str, scopes: Sequence[str], days: int | None) -> tuple[str, int | None]:
    """The name without spaces around it, and the days that the key lasts; None: for ever."""
    wrong: dict[str, list[str]] = {}
    if not 1 <= len(name := name.strip()) <= LONGEST_NAME:
        wrong["name"] = [f"Expected 1 to {LONGEST_NAME} characters."]
    allowed, most = scopes_for(user), settings.API_KEY_MAX_DAYS
    if not scopes or set(scopes) - set(allowed):
        wrong["scopes"] = [
            f"Expected at least one of {', '.join(allowed)}: other scopes give your role nothing."
        ]
    if days is not None and (days < 1 or (most and days > most)):
        upto = f"from 1 to {most}" if most else "of 1 or more"
        wrong["expires_in_days"] = [f"Expected a whole number {upto}."]
    if wrong:
        raise InvalidInput(fields=wrong)
    return name, days or most or None


def _revoke(found: list[ApiKey], by: User | None) -> None:
    ApiKey.objects.filter(pk__in=[key.pk for key in found]).update(revoked_at=Now())
    for key in found:
        details = {"key_id": key.pk, "user_id": key.user_id}
        audit.record(org=key.org, user=by, action="key.revoke", target=str(key), details=details)
