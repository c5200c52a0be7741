"""What the pages show of pauses and bulk replays, in the shape of their fragments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from jobs import control, control_selectors
from jobs import replays as jobs_replays
from jobs.control_selectors import COUNT_CAP
from jobs.models import Job, Pause, Replay
from jobs.page_selectors import Counted
from jobs.replays import ReplayFilter
from orgs import roles
from orgs.models import User

MOST_SHOWN = 20
ENDED_SHOWN_FOR = timedelta(minutes=10)


@dataclass(frozen=True)
class ShownPause:
    """`org_name` and `who` are empty where the reader must not or need not know."""

    pause: Pause
    scope: str
    org_name: str
    who: str
    may_resume: bool


@dataclass(frozen=True)
class Pauses:
    """The newest pauses; `left_out`: how many more there are."""

    shown: list[ShownPause]
    left_out: int


@dataclass(frozen=True)
class ShownReplay:
    """`remaining` is None for one that has ended or waits for its turn; `capped`: there may be more."""

    replay: Replay
    filter: str
    remaining: int | None
    capped: bool
    waits: bool
    may_cancel: bool


@dataclass(frozen=True)
class Replays:
    """The active bulk replays, and those that ended a moment ago."""

    shown: list[ShownReplay]


def pauses(user: User) -> Pauses:
    visible = control_selectors.pauses(user)
    found = list(visible.select_related("org", "created_by").order_by("-pk")[:MOST_SHOWN])
    left_out = visible.count() - len(found) if len(found) == MOST_SHOWN else 0
    return Pauses([_shown_pause(user, pause) for pause in found], left_out)


def replays(user: User, *, now: datetime | None = None) -> Replays:
    since = (now or timezone.now()) - ENDED_SHOWN_FOR
    visible = control_selectors.bulk_replays(user).filter(Q(status=Replay.ACTIVE) | Q(finished_at__gte=since))
    found = list(visible.order_by("-pk")[:MOST_SHOWN])
    at_work = {replay.org_id: replay.pk for replay in found if replay.status == Replay.ACTIVE}
    return Replays([_shown_replay(user, replay, at_work.get(replay.org_id)) for replay in found])


def matching(user: User, wanted: ReplayFilter) -> Counted:
    """How many jobs of the user's organisation a bulk replay would submit now."""
    own = Job.objects.for_user(user).filter(org=user.org_id)
    found = jobs_replays.not_replayed(wanted.matching(own)).values("pk")[: COUNT_CAP + 1].count()
    return Counted(min(found, COUNT_CAP), found > COUNT_CAP)


def filter_words(stored: dict[str, str]) -> str:
    """A replay's filter in words: "type http, name contains report"."""
    words = {
        "type": "type {}",
        "queue": "queue {}",
        "tag": "tag {}",
        "name": "name contains {}",
        "error_contains": "error contains {}",
        "finished_after": "ended after {}",
        "finished_before": "ended before {}",
    }
    return ", ".join(text.format(stored[name]) for name, text in words.items() if name in stored)


def _shown_pause(user: User, pause: Pause) -> ShownPause:
    by = pause.created_by
    known = by is not None and (user.is_platform_admin or by.org_id == user.org_id)
    return ShownPause(
        pause=pause,
        scope=control.scope_of(pause),
        org_name=pause.org.name if pause.org and user.is_platform_admin else "",
        who=by.username if by is not None and known else "",
        may_resume=control.may_resume(user, pause),
    )


def _shown_replay(user: User, replay: Replay, at_work: int | None) -> ShownReplay:
    active = replay.status == Replay.ACTIVE
    remaining = control_selectors.remaining(replay) if replay.pk == at_work else None
    return ShownReplay(
        replay=replay,
        filter=filter_words(replay.filter),
        remaining=remaining,
        capped=remaining == COUNT_CAP,
        waits=active and replay.pk != at_work,
        may_cancel=active and user.may(roles.JOBS_REPLAY_MANY),
    )
