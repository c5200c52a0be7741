"""The organisation itself: its settings, what the platform grants it, suspending, deleting. For API, pages and admin.

Each function holds the organisation's row and returns it as it is afterwards. What has to happen elsewhere, such as to
queued jobs, happens in the same transaction: see `orgs.announcing`. The leader removes what is due
(scheduler.duties.remove_orgs).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from orgs import audit, roles, weights
from orgs.acting import still_may
from orgs.announcing import Grant, grant_changed, standing_changed
from orgs.exceptions import Conflict, InvalidInput, NotFound, OrganizationClosing
from orgs.models import ApiKey, Invitation, Organization, User
from orgs.scoping import require

SETTINGS = ("name", "viewers_see_content")
GRANTS = ("weight", "job_types", "granted_running", "granted_queued", "retention_days")
LONGEST_REASON = 200


@transaction.atomic
def change_settings(*, actor: User, org: Organization, **values: Any) -> Organization:
    """Set some of SETTINGS. Raises Forbidden, NotFound, InvalidInput, OrganizationClosing, and Conflict for a name
    that is taken."""
    held = _held(actor, org, roles.ORG_MANAGE)
    if held.delete_at is not None:
        raise OrganizationClosing("The organisation is to be deleted: take that back before you change it.")
    if "name" in values:
        values["name"] = str(values["name"]).strip()
    _write(actor, held, {name: values[name] for name in SETTINGS if name in values}, "org.settings")
    return held


@transaction.atomic
def change_grants(*, actor: User, org: Organization, **values: Any) -> Organization:
    """Set some of GRANTS; None takes a restriction away. For platform admins.

    Raises Forbidden, NotFound and InvalidInput.
    """
    held = _held(actor, org, roles.PLATFORM_ADMINISTER)
    if unknown := set(values.get("job_types") or ()) - set(settings.KNOWN_JOB_TYPES):
        expected = ", ".join(settings.KNOWN_JOB_TYPES)
        raise InvalidInput(
            fields={"job_types": [f"{', '.join(sorted(unknown))}: expected some of {expected}."]}
        )
    before = Grant.of(held)
    weight = held.weight
    _write(actor, held, {name: values[name] for name in GRANTS if name in values}, "org.grants")
    grants_changed(held, before=before, weight_before=weight)
    return held


def grants_changed(org: Organization, *, before: Grant, weight_before: float) -> None:
    """For whoever writes GRANTS by other ways, in that transaction: tells what follows it."""
    if Grant.of(org) != before:
        grant_changed.make(org, before)
    if org.weight != weight_before:
        weights.changed()


@transaction.atomic
def suspend(*, actor: User, org: Organization, reason: str) -> Organization:
    """Keep the members out and the queued jobs waiting; running ones go on. For platform admins.

    One that is suspended already stays as it is. Raises Forbidden, NotFound and InvalidInput.
    """
    require(actor, roles.PLATFORM_ADMINISTER)
    reason = reason.strip()
    if not 1 <= len(reason) <= LONGEST_REASON:
        raise InvalidInput(fields={"reason": [f"Expected 1 to {LONGEST_REASON} characters."]})
    held = _held(actor, org, roles.PLATFORM_ADMINISTER)
    if held.suspended_at is None:
        _set(held, suspended_at=timezone.now())
        _note(held, actor, "org.suspend", {"from": "open", "to": "suspended", "reason": reason})
    return held


@transaction.atomic
def resume(*, actor: User, org: Organization) -> Organization:
    """End a suspension, if there is one. For platform admins. Raises Forbidden and NotFound."""
    held = _held(actor, org, roles.PLATFORM_ADMINISTER)
    if held.suspended_at is not None:
        _set(held, suspended_at=None)
        _note(held, actor, "org.resume", {"from": "suspended", "to": "open"})
    return held


@transaction.atomic
def ask_deletion(*, actor: User, org: Organization, confirm: str) -> Organization:
    """Have the organisation deleted after settings.ORG_DELETE_GRACE_H hours; until then `restore` takes it back.

    `confirm` is its name, so that nobody deletes the wrong one. Asked again, the first time stays. Raises Forbidden,
    NotFound and InvalidInput.
    """
    held = _held(actor, org, roles.ORG_MANAGE)
    if confirm != held.name:
        raise InvalidInput(fields={"confirm": [f"Expected the name of the organisation: {held.name}."]})
    if held.delete_at is None:
        _set(held, delete_at=timezone.now() + timedelta(hours=settings.ORG_DELETE_GRACE_H))
        _note(held, actor, "org.delete", {"from": None, "to": _text(held.delete_at)})
    return held


@transaction.atomic
def restore(*, actor: User, org: Organization) -> Organization:
    """Take the deletion back, if it was asked for. Raises Forbidden, NotFound, and Conflict when it is too late."""
    held = _held(actor, org, roles.ORG_MANAGE)
    if held.delete_at is not None and held.delete_at <= timezone.now():
        raise Conflict("The time to take it back is over: the organisation is being deleted.")
    if held.delete_at is not None:
        details = {"from": _text(held.delete_at), "to": None}
        _set(held, delete_at=None)
        _note(held, actor, "org.restore", details)
    return held


@transaction.atomic
def remove(org: Organization) -> bool:
    """The end of an organisation whose rows are gone already; False if it was taken back meanwhile, or is not due.

    Its users stay, without an organisation, and so do the entries of its audit log. Called by the leader. Raises
    IntegrityError when something is left of it.
    """
    held = Organization.objects.select_for_update().filter(pk=org.pk, delete_at__lte=timezone.now()).first()
    if held is None:
        return False
    audit.record(org=held, user=None, action="org.removed", target=held.name)
    members = User.objects.filter(org=held)
    members.exclude(role=roles.ADMIN).update(org=None, role=roles.USER)
    members.update(org=None)
    for model in (Invitation, ApiKey):
        model.objects.filter(org=held).delete()
    # Django would look through every table that names an organisation, some of them without an index; what may not
    # be left over, the database refuses.
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM orgs_organization WHERE id = %s", [held.pk])
    return True


def _held(actor: User, org: Organization, action: str) -> Organization:
    """The organisation as it is now, held until the transaction ends, for whoever still may."""
    held = Organization.objects.select_for_update(no_key=True).filter(pk=org.pk).first()
    still_may(actor, action, of=held)
    if held is None:
        raise NotFound
    return held


def _write(actor: User, org: Organization, values: Mapping[str, Any], action: str) -> None:
    """Store what differs, and note each field with its old and new value."""
    changed = {name: value for name, value in values.items() if getattr(org, name) != value}
    if not changed:
        return
    details = {name: {"from": getattr(org, name), "to": value} for name, value in changed.items()}
    for name, value in changed.items():
        setattr(org, name, value)
    others = [field.name for field in org._meta.concrete_fields if field.name not in changed]
    try:
        org.clean_fields(exclude=others)
        with transaction.atomic():
            org.save(update_fields=list(changed))
    except ValidationError as error:
        raise InvalidInput(fields=error.message_dict) from None
    except IntegrityError:
        raise Conflict(
            "This name is taken.", fields={"name": ["An organisation has this name already: choose another."]}
        ) from None
    audit.record(org=org, user=actor, action=action, target=org.name, details=details)


def _set(org: Organization, **times: datetime | None) -> None:
    for name, value in times.items():
        setattr(org, name, value)
    org.save(update_fields=list(times))
    standing_changed.make(org)


def _note(org: Organization, actor: User, action: str, details: dict[str, Any]) -> None:
    audit.record(org=org, user=actor, action=action, target=org.name, details=details)


def _text(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
