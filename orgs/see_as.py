"""A platform admin looks at one organisation as its members see it: reads are narrowed, rights stay the same.

The session remembers which one. `SeeAsMiddleware` tells `User.seen_as_org_id` for pages, `looking_as` for sockets.
What is written meanwhile is still done, and noted, as the platform admin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import get_user
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.utils.functional import SimpleLazyObject

from orgs import audit, roles
from orgs.models import Organization, User
from orgs.scoping import require

SESSION_KEY = "see_as_org_id"


class SeeAsMiddleware:
    """Stands behind AuthenticationMiddleware; reads neither session nor user before somebody asks for the user."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.user = SimpleLazyObject(lambda: looking_as(get_user(request), request.session))  # type: ignore[assignment]
        return self._get_response(request)


def looking_as(user: Any, session: SessionBase) -> User | AnonymousUser:
    """`user`, a platform admin narrowed to the organisation that the session names."""
    if isinstance(user, User) and user.is_platform_admin:
        chosen = session.get(SESSION_KEY)
        user.seen_as_org_id = chosen if isinstance(chosen, int) else None
    found: User | AnonymousUser = user
    return found


def seen_as(user: User | AnonymousUser) -> Organization | None:
    """The organisation that a platform admin looks at; None for everybody else, and when it is gone."""
    if not isinstance(user, User) or user.seen_as_org_id is None:
        return None
    return Organization.objects.filter(pk=user.seen_as_org_id).first()


def start(request: HttpRequest, org: Organization) -> None:
    """See only what `org` sees until `stop`, or until logging out. Raises Forbidden."""
    user = require(request.user, roles.PLATFORM_ADMINISTER)
    with transaction.atomic():
        audit.record(org=org, user=user, action="org.see_as", target=org.name)
    request.session[SESSION_KEY] = user.seen_as_org_id = org.pk


def stop(request: HttpRequest) -> None:
    """See everything again; no error for somebody who does. Raises Forbidden."""
    user = require(request.user, roles.PLATFORM_ADMINISTER)
    org = seen_as(user)
    if org is not None:
        with transaction.atomic():
            audit.record(org=org, user=user, action="org.see_as_end", target=org.name)
    request.session.pop(SESSION_KEY, None)
    user.seen_as_org_id = None
