"""Invitations by link: made, listed and revoked by org admins, accepted once by whoever opens the link first.

The token in a link is signed with the secret key, and of its random part only the SHA-256 is kept. A token that was
not made here is refused before anything is looked up: it tells nothing of any organisation.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.core import signing
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.utils import timezone

from orgs import audit, roles, walls
from orgs.acting import check_role, still_may
from orgs.exceptions import Conflict, InvalidInput, NotFound, SmartQueueError
from orgs.models import Invitation, Organization, User
from orgs.scoping import org_of, require, rows_for_user

MOST_OPEN = 100  # of one organisation
LONGEST_H = 30 * 24
USUAL_H = 72
LONGEST_NOTE = 200
OPEN, ACCEPTED, REVOKED, EXPIRED = STATES = ("open", "accepted", "revoked", "expired")

_SALT = "orgs.invitations"


class TooManyInvitations(Conflict):
    """There are as many open invitations as there may be: revoke some of them first."""

    code = "too_many_invitations"


class InvalidInvitation(SmartQueueError):
    """This is no invitation of ours: open the link exactly as you got it, or ask for a new one."""

    code = "invitation_invalid"


class InvitationUsed(Conflict):
    """This invitation was accepted already: each is good for one person. Ask for a new one."""

    code = "invitation_used"


class InvitationOver(SmartQueueError):
    """This invitation has expired or was revoked: ask for a new one."""

    code = "invitation_over"
    http_status = 410


@transaction.atomic
def invite(
    *, actor: User, role: str = roles.USER, note: str = "", expires_in_h: int = USUAL_H
) -> tuple[Invitation, str]:
    """A new invitation into the actor's own organisation, and its token, which nobody can read again.

    Raises Forbidden, NoOrganization, InvalidInput (with `fields`) and TooManyInvitations.
    """
    require(actor, roles.MEMBERS_MANAGE)
    _check(actor, role, note, expires_in_h)
    # Two at once take turns, so that both cannot be the last one.
    org = Organization.objects.select_for_update(no_key=True).get(pk=org_of(actor).pk)
    still_may(actor, roles.MEMBERS_MANAGE, of=org)
    if _open(org).count() >= MOST_OPEN:
        raise TooManyInvitations(
            f"There are {MOST_OPEN} open invitations already: revoke some of them first."
        )
    secret = secrets.token_urlsafe(32)
    made = Invitation.objects.create(
        org=org,
        role=role,
        note=note.strip(),
        secret_hash=_hash(secret),
        created_by=actor,
        expires_at=timezone.now() + timedelta(hours=expires_in_h),
    )
    audit.record(org=org, user=actor, action="invitation.create", target=str(made), details=_details(made))
    return made, signing.dumps([made.pk, secret], salt=_SALT)


@transaction.atomic
def revoke(*, actor: User, invitation_id: int) -> None:
    """End an invitation; one that is over already is no error. Raises Forbidden and NotFound."""
    require(actor, roles.MEMBERS_MANAGE)
    rows = rows_for_user(Invitation, actor).select_for_update(of=("self",))
    found = rows.filter(pk=invitation_id).first()
    if found is None:
        raise NotFound
    if state_of(found) == OPEN:
        _revoke(found, actor)


@transaction.atomic
def revoke_all(*, of: User, by: User) -> None:
    """End what somebody has invited to who invites nobody any more: nobody comes back by an own link."""
    with walls.everything():
        rows = Invitation.objects.filter(created_by=of, accepted_at=None, revoked_at=None)
        for found in (
            rows.filter(expires_at__gt=timezone.now()).order_by("pk").select_for_update(of=("self",))
        ):
            _revoke(found, by)


@transaction.atomic
def accept(*, user: User, token: str) -> Organization:
    """Make `user`, who has no organisation, a member; `user` is updated in place.

    Raises InvalidInvitation, InvitationUsed, InvitationOver, and Conflict for somebody who belongs to an organisation
    and for an organisation that is not open.
    """
    with walls.everything():
        person = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        found = _usable(token, lock=True)
        if person.org_id or person.is_platform_admin:
            raise Conflict("You belong to an organisation already: leave it before you join another one.")
        person.org, person.role = found.org, found.role
        person.save(update_fields=["org", "role"])
        found.accepted_by, found.accepted_at = person, timezone.now()
        found.save(update_fields=["accepted_by", "accepted_at"])
        details = {"user_id": person.pk, "role": found.role, "invitation": found.pk}
        audit.record(
            org=found.org, user=person, action="member.join", target=person.username, details=details
        )
    user.org, user.role = found.org, found.role
    return found.org


def look_at(token: str) -> Invitation:
    """What the link offers, for the page that asks whether to accept. Raises as `accept` does."""
    with walls.everything():
        return _usable(token)


def behind(address: str) -> Invitation | None:
    """What the link of an invitation offers, for the page that asks to log in first; None for every other address."""
    path, _, query = address.partition("?")
    if path != reverse("page-join"):
        return None
    try:
        return look_at(QueryDict(query).get("token") or "")
    except SmartQueueError:
        return None


def link(request: HttpRequest, token: str) -> str:
    """The address of the page that asks whether to accept."""
    return request.build_absolute_uri(f"{reverse('page-join')}?{urlencode({'token': token})}")


def listed(user: User) -> QuerySet[Invitation]:
    """The invitations into the user's own organisation. Raises Forbidden and NoOrganization."""
    require(user, roles.MEMBERS_MANAGE)
    return Invitation.objects.filter(org=org_of(user)).select_related("created_by", "accepted_by")


def one(user: User, invitation_id: int) -> Invitation:
    """One of `listed`; raises NotFound."""
    found = listed(user).filter(pk=invitation_id).first()
    if found is None:
        raise NotFound
    return found


def state_of(invitation: Invitation) -> str:
    """One of STATES."""
    if invitation.accepted_at is not None:
        return ACCEPTED
    if invitation.revoked_at is not None:
        return REVOKED
    return EXPIRED if invitation.expires_at <= timezone.now() else OPEN


def _revoke(found: Invitation, by: User) -> None:
    found.revoked_at = timezone.now()
    found.save(update_fields=["revoked_at"])
    details = {"from": OPEN, "to": REVOKED, **_details(found)}
    audit.record(org=found.org, user=by, action="invitation.revoke", target=str(found), details=details)


def _usable(token: str, *, lock: bool = False) -> Invitation:
    found = _found(token, lock=lock)
    state = state_of(found)
    if state == ACCEPTED:
        raise InvitationUsed
    if state != OPEN:
        raise InvitationOver(
            f"This invitation {'has expired' if state == EXPIRED else 'was revoked'}: ask for a new one."
        )
    if not found.org.is_open:
        raise Conflict("This organisation takes nobody in at the moment.")
    return found


def _found(token: str, *, lock: bool) -> Invitation:
    try:
        number, secret = signing.loads(token, salt=_SALT)
    except (signing.BadSignature, ValueError, TypeError):
        raise InvalidInvitation from None
    if type(number) is not int or not isinstance(secret, str):
        raise InvalidInvitation
    rows = Invitation.objects.select_related("org")
    if lock:
        rows = rows.select_for_update(of=("self",))
    found = rows.filter(pk=number, secret_hash=_hash(secret)).first()
    if found is None:
        raise InvalidInvitation
    return found


def _open(org: Organization) -> QuerySet[Invitation]:
    return Invitation.objects.filter(
        org=org, accepted_at=None, revoked_at=None, expires_at__gt=timezone.now()
    )


def _check(actor: User, role: str, note: str, expires_in_h: int) -> None:
    check_role(actor, role)
    wrong = {}
    if len(note) > LONGEST_NOTE:
        wrong["note"] = [f"Expected at most {LONGEST_NOTE} characters."]
    if not 1 <= expires_in_h <= LONGEST_H:
        wrong["expires_in_h"] = [f"Expected a whole number of hours from 1 to {LONGEST_H}."]
    if wrong:
        raise InvalidInput(fields=wrong)


def _details(invitation: Invitation) -> dict[str, Any]:
    return {
        "role": invitation.role,
        "note": invitation.note,
        "expires_at": invitation.expires_at.isoformat(timespec="seconds"),
    }


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
