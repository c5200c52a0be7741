"""What the organisation's page shows. Reads only what `user` may see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from orgs import actors, invitations, memberships, roles
from orgs.models import Invitation, Organization, User
from orgs.scoping import org_of

MOST_MEMBERS = 200
MOST_INVITATIONS = 50


@dataclass(frozen=True)
class ShownMember:
    """`may_change`: the reader may give the member another role, or remove them."""

    user: User
    is_self: bool
    may_change: bool


@dataclass(frozen=True)
class ShownInvitation:
    invitation: Invitation
    state: str
    made_by: str
    used_by: str

    @property
    def is_open(self) -> bool:
        return self.state == invitations.OPEN


@dataclass(frozen=True)
class Page:
    """The organisation; `members_left_out`: how many more there are. `invitations` is None for who may not see them."""

    org: Organization
    members: list[ShownMember]
    members_left_out: int
    invitations: list[ShownInvitation] | None
    may_manage: bool
    may_leave: bool
    delete_at: datetime | None


def page(user: User) -> Page:
    """Raises NoOrganization."""
    org = org_of(user)
    members = User.objects.filter(org=org).order_by("username")
    shown = list(members[:MOST_MEMBERS])
    left_out = members.count() - len(shown) if len(shown) == MOST_MEMBERS else 0
    return Page(
        org=org,
        members=[_member(user, one) for one in shown],
        members_left_out=left_out,
        invitations=_invitations(user) if user.may(roles.MEMBERS_MANAGE) else None,
        may_manage=user.may(roles.ORG_MANAGE),
        may_leave=org.delete_at is None and memberships.may_leave(user),
        delete_at=org.delete_at,
    )


def heirs(user: User) -> QuerySet[User]:
    """The members to whom the organisation could be handed over."""
    others = User.objects.filter(org=org_of(user), is_active=True).exclude(pk=user.pk)
    return others.exclude(role=roles.ADMIN).order_by("username")


def _member(reader: User, member: User) -> ShownMember:
    is_self = member.pk == reader.pk
    others = not is_self and (reader.is_platform_admin or not member.is_platform_admin)
    return ShownMember(member, is_self, may_change=others and reader.may(roles.MEMBERS_MANAGE))


def _invitations(user: User) -> list[ShownInvitation]:
    """Open ones and the last that are over, newest first."""
    found = invitations.listed(user).order_by("-pk")[:MOST_INVITATIONS]
    return [
        ShownInvitation(
            one,
            invitations.state_of(one),
            made_by=actors.name_for(user, one.created_by, one.created_by_id),
            used_by=actors.name_for(user, one.accepted_by, one.accepted_by_id),
        )
        for one in found
    ]
