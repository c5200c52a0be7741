"""Model versions as people deal with them: seen in a list, and put in force again.

Called by the API, the admin and `manage.py rollback_model`; weights are read by predictor.store alone.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from orgs import audit
from orgs.exceptions import Conflict, NotFound
from orgs.models import User
from predictor import store
from predictor.models import ModelVersion


class NoParent(Conflict):
    """There is no earlier version to go back to."""

    code = "no_parent"


def versions() -> QuerySet[ModelVersion]:
    """All versions without their weights, newest first. Models are shared: no organisation owns one."""
    return ModelVersion.objects.defer("weights").order_by("-id")


def version(version_id: int) -> ModelVersion:
    """One of them; raises NotFound."""
    found = versions().filter(pk=version_id).first()
    if found is None:
        raise NotFound(f"There is no model version {version_id}.")
    return found


def parent_of_active() -> ModelVersion:
    """The version that the one in force was trained after; raises NotFound and NoParent."""
    active = versions().filter(active=True).first()
    if active is None:
        raise NotFound("No model version is in force; name the one that shall be.")
    if active.parent_id is None:
        raise NoParent(f"Version {active.pk}, which is in force, has no parent; name a version to go to.")
    return version(active.parent_id)


def put_in_force(wanted: ModelVersion, *, user: User | None) -> bool:
    """Put `wanted` in force in place of any other and note who did it (None: the command line). It stays in force
    until somebody releases it or puts another in force: neither learning nor retraining replaces it.

    False when it is in force already. Raises UnusableModel when it cannot be loaded; nothing has changed then.
    """
    with transaction.atomic():
        # store.activate locks all rows in this order: what is in force cannot change in between.
        locked = ModelVersion.objects.select_for_update().order_by("pk").values_list("pk", "active")
        before = next((pk for pk, active in locked if active), None)
        if before == wanted.pk:
            return False
        store.activate(wanted, pinned=True)
        audit.record(
            org=None,
            user=user,
            action="model.activate",
            target=str(wanted),
            details={"from": before, "to": wanted.pk},
        )
    return True


def release(*, user: User | None) -> ModelVersion:
    """From here on a better version may take the place of the one in force. Raises NotFound without one."""
    with transaction.atomic():
        active = versions().select_for_update().filter(active=True).first()
        if active is None:
            raise NotFound("No model version is in force.")
        if active.pinned:
            ModelVersion.objects.filter(pk=active.pk).update(pinned=False)
            audit.record(
                org=None,
                user=user,
                action="model.release",
                target=str(active),
                details={"version": active.pk},
            )
    return active
