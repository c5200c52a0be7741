"""What people may read of pauses. Every query starts from the tenant filter."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from jobs.models import Pause
from orgs.exceptions import NotFound
from orgs.models import User


def pauses(user: User) -> QuerySet[Pause]:
    """The pauses of the user's organisation and those of the whole platform, which hold it back as well.

    Not those of `jobs.holding`, which are nobody's to see or to end.
    """
    own = Pause.objects.for_user(user)
    platform = Pause.objects.filter(org=None) if user.is_active and user.seen_org_id else Pause.objects.none()
    found = Pause.objects.filter(suspension=False).filter(
        Q(pk__in=own.values("pk")) | Q(pk__in=platform.values("pk"))
    )
    return found.select_related("created_by")


def pause(user: User, pause_id: int) -> Pause:
    """One pause; raises NotFound also when it belongs to others."""
    found = pauses(user).select_related("org").filter(pk=pause_id).first()
    if found is None:
        raise NotFound(f"There is no pause {pause_id}, or none that you may see.")
    return found
