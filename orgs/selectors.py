"""What people may read of organisations and users. Every query starts from the tenant filter."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet

from orgs.exceptions import NotFound
from orgs.models import Organization, User
from orgs.scoping import org_of, rows_for_user

_LARGEST_ID = 2**63 - 1


def organization_of(*, user: User | AnonymousUser, org_id: int) -> Organization:
    """The organisation, if it is one that `user` may see; raises NotFound."""
    org = rows_for_user(Organization, user).filter(pk=org_id).first() if org_id <= _LARGEST_ID else None
    if org is None:
        raise NotFound
    return org


def members(*, user: User) -> QuerySet[User]:
    """The members of the user's own organisation; raises NoOrganization."""
    return User.objects.filter(org=org_of(user))


def member(*, user: User, user_id: int) -> User:
    """One member of the user's own organisation; raises NoOrganization, and NotFound also for somebody else's."""
    found = members(user=user).filter(pk=user_id).first() if user_id <= _LARGEST_ID else None
    if found is None:
        raise NotFound
    return found


def all_users() -> QuerySet[User]:
    """Every user of the platform; for platform admins only."""
    return User.objects.select_related("org")
