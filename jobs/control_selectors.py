"""What people may read of pauses and bulk replays. Every query starts from the tenant filter."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from jobs import replays
from jobs.models import Pause, Replay
from orgs.exceptions import NotFound
from orgs.models import User

COUNT_CAP = 10_000


def pauses(user: User) -> QuerySet[Pause]:
    """The pauses of the user's organisation and those of the whole platform, which hold it back as well."""
    own = Pause.objects.for_user(user)
    platform = Pause.objects.filter(org=None) if user.is_active and user.org_id else Pause.objects.none()
    return Pause.objects.filter(Q(pk__in=own.values("pk")) | Q(pk__in=platform.values("pk")))


def pause(user: User, pause_id: int) -> Pause:
    """One pause; raises NotFound also when it belongs to others."""
    found = pauses(user).select_related("org").filter(pk=pause_id).first()
    if found is None:
        raise NotFound(f"There is no pause {pause_id}, or none that you may see.")
    return found


def bulk_replays(user: User) -> QuerySet[Replay]:
    return Replay.objects.for_user(user)


def bulk_replay(user: User, replay_id: int) -> Replay:
    """One bulk replay; raises NotFound also when it belongs to others."""
    found = bulk_replays(user).filter(pk=replay_id).first()
    if found is None:
        raise NotFound(f"There is no replay {replay_id}, or none that you may see.")
    return found


def remaining(replay: Replay) -> int | None:
    """How many jobs an active replay has before it, counted up to COUNT_CAP; None when it has ended."""
    if replay.status != Replay.ACTIVE:
        return None
    return replays.to_replay(replay).values("pk")[:COUNT_CAP].count()
