"""Refresh tokens: how a login lasts longer than its access token, and how a stolen one ends it.

Each login begins a family. A token is used once and leaves its place to the next of the family; one that comes again
was copied, so the family ends, whoever holds the newest. Whoever issues or ends tokens of a user holds the user's row:
so nothing is issued beside what ends everything. Called by the views of orgs.token_api, and where passwords change.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import uuid
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from orgs import audit, audit_logins, standing, walls
from orgs.exceptions import InvalidCredentials, LockedOut, OrganizationClosed, SmartQueueError
from orgs.models import RefreshToken, User

PRUNED_AT_ONCE = 1000

_FORM = re.compile(r"[A-Za-z0-9_-]{43}")

logger = logging.getLogger(__name__)


class InvalidRefreshToken(SmartQueueError):
    """The refresh token is not valid (any more): log in again."""

    code = "invalid_token"
    http_status = 401


def log_in(user: User) -> str:
    """Begin a family for somebody whose password was found right; the first token of it.

    Raises LockedOut where the organisation's state keeps the user out, and InvalidCredentials where the password
    has been changed since it was looked at.
    """
    with walls.everything(), transaction.atomic():
        locked = _locked(User.objects.filter(pk=user.pk, is_active=True))
        if locked is None or locked.password != user.password:
            raise InvalidCredentials
        _check_standing(locked)
        audit_logins.note_login(locked, by="token")
        return _issue(locked, uuid.uuid4())


def exchange(secret: str) -> tuple[User, str]:
    """The user of an unused token, and the token that takes its place.

    Raises InvalidRefreshToken, and LockedOut where the organisation's state keeps the user out: then the token is
    not used up.
    """
    with walls.everything(), transaction.atomic():
        outcome = _use(_hash(secret))
    # Raised behind the commit: a family that was ended stays so.
    if isinstance(outcome, SmartQueueError):
        raise outcome
    return outcome


def end(secret: str) -> None:
    """End the family of a token, used or not; nothing happens for one that does not exist."""
    with walls.everything(), transaction.atomic():
        secret_hash = _hash(secret)
        user = _locked_user_of(secret_hash)
        if user is not None and (token := RefreshToken.objects.filter(secret_hash=secret_hash).first()):
            _end_family(token)


def end_all(user: User) -> None:
    """End every family of `user`; access tokens that are out last until they expire."""
    with walls.everything(), transaction.atomic():
        _locked(User.objects.filter(pk=user.pk))
        live = RefreshToken.objects.filter(user=user, used_at=None, revoked_at=None)
        live.update(revoked_at=Now(), expires_at=Now())


def prune() -> int:
    """Remove up to PRUNED_AT_ONCE tokens that are over; how many it were."""
    over = RefreshToken.objects.filter(expires_at__lt=Now()).order_by("expires_at").values("pk")
    removed, _ = RefreshToken.objects.filter(pk__in=[row["pk"] for row in over[:PRUNED_AT_ONCE]]).delete()
    return removed


def _use(secret_hash: str) -> tuple[User, str] | SmartQueueError:
    user = _locked_user_of(secret_hash)
    token = RefreshToken.objects.filter(secret_hash=secret_hash).first()
    if user is None or token is None or token.revoked_at is not None:
        return InvalidRefreshToken()
    if token.used_at is not None:
        _note_reuse(user, token)
        return InvalidRefreshToken()
    if token.expires_at <= timezone.now() or not user.is_active:
        return InvalidRefreshToken()
    try:
        _check_standing(user)
    except LockedOut as error:
        return error
    RefreshToken.objects.filter(pk=token.pk).update(used_at=Now())
    return user, _issue(user, token.family)


def _locked_user_of(secret_hash: str) -> User | None:
    """Locked before the token is read: two who bring the same one come after each other."""
    owners = RefreshToken.objects.filter(secret_hash=secret_hash).values("user_id")
    return _locked(User.objects.filter(pk__in=owners))


def _locked(users: QuerySet[User]) -> User | None:
    return users.select_related("org").select_for_update(no_key=True, of=("self",)).first()


def _note_reuse(user: User, token: RefreshToken) -> None:
    if _end_family(token):
        logger.warning("action=refresh_token_reused user_id=%s family=%s", user.pk, token.family)
        details = {"family": str(token.family)}
        audit.record(org=user.org, user=user, action="token.reuse", target=user.username, details=details)


def _end_family(token: RefreshToken) -> int:
    """One token of a family is unused at most, and without it no other serves. How many were ended."""
    live = RefreshToken.objects.filter(family=token.family, used_at=None, revoked_at=None)
    return live.update(revoked_at=Now(), expires_at=Now())


def _issue(user: User, family: uuid.UUID) -> str:
    secret = secrets.token_urlsafe(32)
    expires_at = timezone.now() + timedelta(seconds=settings.REFRESH_TTL_S)
    RefreshToken.objects.create(user=user, family=family, secret_hash=_hash(secret), expires_at=expires_at)
    return secret


def _hash(secret: str) -> str:
    if not _FORM.fullmatch(secret):
        return ""  # of no token
    return hashlib.sha256(secret.encode()).hexdigest()


def _check_standing(user: User) -> None:
    try:
        standing.may_come_in(user)
    except OrganizationClosed as error:
        raise LockedOut(error) from None
