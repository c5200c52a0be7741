"""What people may do to organisations and their members. The only writer of `orgs`.

Who belongs to no organisation yet is behind every wall, so these look without one. Races end at the database: names
are unique there, and whoever moves a user into an organisation holds the user's row first. Raises the errors of
`orgs.exceptions`.
"""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from orgs import audit, roles, walls
from orgs.acting import check_role, still_may
from orgs.exceptions import Conflict, InvalidInput, NotFound
from orgs.models import Organization, User
from orgs.scoping import require
from orgs.selectors import organization_of


@walls.everything()
def user_register(*, username: str, password: str, email: str = "") -> User:
    """A new user without an organisation. Raises InvalidInput, and Conflict for a username that is taken."""
    user = User(username=User.normalize_username(username), email=User.objects.normalize_email(email))
    try:
        user.clean_fields(exclude=["password"])
        _check_password(password, user)
    except ValidationError as error:
        raise InvalidInput(fields=error.message_dict) from None
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        raise Conflict(
            "This username is taken.", fields={"username": ["This username is taken: choose another."]}
        ) from None
    return user


@walls.everything()
@transaction.atomic
def organization_create(*, user: User, name: str) -> Organization:
    """A new organisation; its creator becomes its org admin, a platform admin stays what they are.

    `user` is updated in place. Raises InvalidInput, and Conflict when the name is taken or the user
    belongs to an organisation already.
    """
    locked = User.objects.select_for_update().get(pk=user.pk)
    if locked.org_id and not locked.is_platform_admin:
        raise Conflict("You belong to an organisation already.")
    org = _new_organization(name)
    if not locked.is_platform_admin:
        _join(locked, org, roles.ORG_ADMIN)
        user.org, user.role = org, roles.ORG_ADMIN
    audit.record(org=org, user=user, action="org.create", target=org.name)
    return org


@walls.everything()
@transaction.atomic
def organization_invite(*, org: Organization, actor: User, username: str, role: str) -> User:
    """Make an existing user without an organisation a member of `org`, and return that user.

    Raises Forbidden, InvalidInput, NotFound for an unknown username, and Conflict for somebody who
    belongs to an organisation; which one is not told.
    """
    organization_of(user=actor, org_id=org.pk)
    require(actor, roles.MEMBERS_MANAGE)
    check_role(actor, role)
    Organization.objects.select_for_update(no_key=True).get(pk=org.pk)
    still_may(actor, roles.MEMBERS_MANAGE, of=org)
    user = User.objects.select_for_update().filter(username=username, is_active=True).first()
    if user is None:
        raise NotFound(fields={"username": ["There is no active user with this username."]})
    if user.org_id == org.pk:
        raise Conflict("This user is a member already.")
    if user.org_id or user.is_platform_admin:
        raise Conflict("This user cannot be added: they belong elsewhere already.")
    _join(user, org, role)
    details = {"user_id": user.pk, "role": role}
    audit.record(org=org, user=actor, action="member.invite", target=user.username, details=details)
    return user


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({"password": error.messages}) from None


def _new_organization(name: str) -> Organization:
    org = Organization(name=name.strip())
    try:
        org.clean_fields()
        with transaction.atomic():
            org.save(force_insert=True)
    except ValidationError as error:
        raise InvalidInput(fields=error.message_dict) from None
    except IntegrityError:
        raise Conflict(
            "This name is taken.", fields={"name": ["An organisation has this name already: choose another."]}
        ) from None
    return org


def _join(user: User, org: Organization, role: str) -> None:
    user.org, user.role = org, role
    user.save(update_fields=["org", "role"])
