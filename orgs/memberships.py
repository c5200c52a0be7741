"""What happens to members: another role, handing over, leaving, being removed or deactivated. For API, pages and admin.

An organisation always has an active org admin: whoever could take the last one away holds the organisation's row
first, then the member's. Rows of users leave the reach of their organisation here, hence `walls.everything`.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from orgs import api_keys, audit, invitations, refresh, roles, walls
from orgs.acting import check_role, still_may
from orgs.exceptions import Conflict, Forbidden, NotFound
from orgs.models import Organization, User
from orgs.scoping import org_of, require


class LastOrgAdmin(Conflict):
    """The organisation needs an active org admin: make another member one first."""

    code = "last_org_admin"


@transaction.atomic
def change_role(*, actor: User, member: User, role: str) -> User:
    """Give `member` another role in the organisation. Raises Forbidden, NotFound, InvalidInput and LastOrgAdmin."""
    require(actor, roles.MEMBERS_MANAGE)
    check_role(actor, role)
    org, locked = _locked(actor, member, roles.MEMBERS_MANAGE)
    if locked.role == role:
        return locked
    if role != roles.ORG_ADMIN:
        _keep_an_admin(org, locked)
    details = {"from": locked.role, "to": role}
    locked.role = role
    locked.save(update_fields=["role"])
    _end_invitations(actor, locked)
    audit.record(org=org, user=actor, action="user.role", target=locked.username, details=details)
    return locked


@transaction.atomic
def set_active(*, actor: User, member: User, active: bool) -> User:
    """Let `member` log in, or no longer. Raises Forbidden, NotFound and LastOrgAdmin."""
    org, locked = _locked(actor, member, roles.MEMBERS_MANAGE)
    if locked.is_active == active:
        return locked
    if not active:
        _keep_an_admin(org, locked)
        end_access(locked, by=actor)
    locked.is_active = active
    locked.save(update_fields=["is_active"])
    details = {"from": not active, "to": active}
    audit.record(org=org, user=actor, action="user.is_active", target=locked.username, details=details)
    return locked


@transaction.atomic
def leave(*, user: User) -> None:
    """End the user's own membership; `user` is updated in place. Raises NoOrganization and LastOrgAdmin."""
    org = _held(org_of(user).pk)
    locked = _member(org, user)
    details = {"from": locked.role, "to": None}
    _part(user, org, locked)
    audit.record(org=org, user=user, action="member.leave", target=user.username, details=details)
    user.org, user.role = None, locked.role


@transaction.atomic
def remove(*, actor: User, member: User) -> None:
    """End somebody's membership. Raises Forbidden, NotFound, LastOrgAdmin, and Conflict for oneself."""
    require(actor, roles.MEMBERS_MANAGE)
    if member.pk == actor.pk:
        raise Conflict("This is yourself: leave the organisation instead.")
    org, locked = _locked(actor, member, roles.MEMBERS_MANAGE)
    details = {"user_id": locked.pk, "from": locked.role, "to": None}
    _part(actor, org, locked)
    audit.record(org=org, user=actor, action="member.remove", target=locked.username, details=details)


@transaction.atomic
def hand_over(*, actor: User, member: User) -> User:
    """Make `member` an org admin and oneself a `user`; both at once, so there is always one.

    `actor` is updated in place. Raises Forbidden for whoever is no org admin of the own organisation, NotFound, and
    Conflict for oneself and for a member who is not active.
    """
    if actor.role != roles.ORG_ADMIN:
        raise Forbidden("Only an org admin hands an organisation over.")
    require(actor, roles.ORG_MANAGE)
    if member.pk == actor.pk:
        raise Conflict("You run the organisation already: choose another member.")
    org, heir = _locked(actor, member, roles.ORG_MANAGE)
    if not heir.is_active:
        raise Conflict("This member is not active: choose another one.", fields={"user_id": ["Not active."]})
    giver = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
    if giver.role != roles.ORG_ADMIN or giver.org_id != org.pk:
        raise Forbidden("You are no org admin of it any more.")
    details = {"from": actor.username, "to": heir.username, "user_id": heir.pk, "role_before": heir.role}
    heir.role, giver.role = roles.ORG_ADMIN, roles.USER
    heir.save(update_fields=["role"])
    giver.save(update_fields=["role"])
    _end_invitations(actor, giver)
    audit.record(org=org, user=actor, action="org.hand_over", target=org.name, details=details)
    actor.role = roles.USER
    return heir


@transaction.atomic
def place(*, actor: User, member: User, org: Organization | None, role: str, active: bool) -> None:
    """Set at once where somebody belongs, as what, and whether they log in. For platform admins.

    Whoever goes elsewhere or is deactivated loses what they came in by. Raises Forbidden, NotFound and LastOrgAdmin.
    """
    require(actor, roles.PLATFORM_ADMINISTER)
    left = User.objects.select_related("org").get(pk=member.pk).org
    for pk in sorted({one.pk for one in (left, org) if one is not None}):
        _held(pk)
    still_may(actor, roles.PLATFORM_ADMINISTER)
    locked = _member(left, member)
    if left is not None and (org != left or role != roles.ORG_ADMIN or not active):
        _keep_an_admin(left, locked)
    moves, stops = org != left, locked.is_active and not active
    before = {"role": locked.role, "is_active": locked.is_active}
    if moves or stops:
        end_access(locked, by=actor)
    locked.org, locked.role, locked.is_active = org, role, active
    with walls.everything():
        locked.save(update_fields=["org", "role", "is_active"])
    _end_invitations(actor, locked)
    _note_placing(actor, locked, left, before)


def end_access(member: User, *, by: User) -> None:
    """End all that lets somebody in without a password: API keys, refresh tokens, and the own invitations that are
    open, by which they could come back."""
    api_keys.revoke_all(of=member, by=by)
    refresh.end_all(member)
    invitations.revoke_all(of=member, by=by)


def may_leave(user: User) -> bool:
    """Whether the organisation would still have an active org admin, as it is now; `leave` looks again."""
    if user.role != roles.ORG_ADMIN:
        return True
    others = User.objects.filter(org=user.org_id, role=roles.ORG_ADMIN, is_active=True).exclude(pk=user.pk)
    return others.exists()


def guard_last_admin(user: User) -> None:
    """For whoever is about to write to `user` by other ways, in a transaction: raises LastOrgAdmin if the row, as it
    is now, is the only active org admin of its organisation."""
    if user.org_id is None:
        return
    org = Organization.objects.select_for_update(no_key=True).get(pk=user.org_id)
    now = User.objects.select_for_update(no_key=True).filter(pk=user.pk, org=org).first()
    if now is not None:
        _keep_an_admin(org, now)


def _locked(actor: User, member: User, action: str) -> tuple[Organization, User]:
    """The organisation and the member as they are now, held until the transaction ends, for whoever still may."""
    org = _held(member.org_id or 0)
    now = still_may(actor, action, of=org)
    found = _member(org, member)
    if found.is_platform_admin and not now.acts_everywhere:
        raise Forbidden("A platform admin is not yours to change.")
    return org, found


def _held(org_id: int) -> Organization:
    org = Organization.objects.select_for_update(no_key=True).filter(pk=org_id).first()
    if org is None:
        raise NotFound
    return org


def _member(org: Organization | None, user: User) -> User:
    found = User.objects.select_for_update(no_key=True).filter(pk=user.pk, org=org).first()
    if found is None:
        raise NotFound
    return found


def _keep_an_admin(org: Organization, member: User) -> None:
    if member.role != roles.ORG_ADMIN or not member.is_active:
        return
    others = User.objects.filter(org=org, role=roles.ORG_ADMIN, is_active=True).exclude(pk=member.pk)
    if not others.exists():
        raise LastOrgAdmin


def _part(actor: User, org: Organization, member: User) -> None:
    """Jobs stay the organisation's; what the member came in by ends."""
    _keep_an_admin(org, member)
    end_access(member, by=actor)
    member.org = None
    if not member.is_platform_admin:
        member.role = roles.USER
    with walls.everything():
        member.save(update_fields=["org", "role"])


def _end_invitations(actor: User, member: User) -> None:
    """Of whoever may not invite any more."""
    if not roles.may(member.role, roles.MEMBERS_MANAGE):
        invitations.revoke_all(of=member, by=actor)


def _note_placing(actor: User, member: User, left: Organization | None, before: dict[str, Any]) -> None:
    org, name = member.org, member.username
    noted = [
        audit.Noted(org, actor, f"user.{field}", name, {"from": value, "to": getattr(member, field)})
        for field, value in before.items()
        if getattr(member, field) != value
    ]
    if org != left:
        noted += [audit.Noted(left, actor, "user.leave", name), audit.Noted(org, actor, "user.join", name)]
    audit.record_all(noted)
