"""Whether the members of an organisation may come in: asked by every door once it knows who knocks.

Doors are the API (by session, access token, refresh token or API key), pages, sockets, the admin and both logins.
A suspended organisation lets nobody in; one that is to be deleted only its org admins, who read and may take it back.
"""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser

from orgs import roles
from orgs.exceptions import OrganizationClosed, OrganizationClosing
from orgs.models import User


def may_come_in(user: User | AnonymousUser) -> None:
    """Raises OrganizationClosed for a member whom the organisation's state keeps out. Reads `user.org`."""
    if not isinstance(user, User) or user.is_platform_admin or user.org is None:
        return
    if user.org.suspended_at is not None:
        raise OrganizationClosed
    if user.org.delete_at is not None and user.role != roles.ORG_ADMIN:
        raise OrganizationClosing


def comes_in(user: User | AnonymousUser) -> bool:
    """Whether `may_come_in` lets the user pass."""
    try:
        may_come_in(user)
    except OrganizationClosed:
        return False
    return True
