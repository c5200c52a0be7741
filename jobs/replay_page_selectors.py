"""What the pages show of bulk replays, in the shape of their fragment. Rendered live, so nothing is counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from jobs import replay_selectors, states
from jobs.models import Replay
from jobs.replays import ReplayFilter
from orgs import roles
from orgs.models import User

MOST_SHOWN = 20
ENDED_SHOWN_FOR = timedelta(minutes=10)


@dataclass(frozen=True)
class ShownReplay:
    """`waits`: an older one of its organisation is at work first. How far it is, the ids of the jobs tell."""

    replay: Replay
    filter: str
    waits: bool
    may_cancel: bool


@dataclass(frozen=True)
class Replays:
    """The active bulk replays, oldest first, and behind them those that ended a moment ago.

    `left_out`: how many more are active.
    """

    shown: list[ShownReplay]
    left_out: int


def replays(user: User, *, now: datetime | None = None) -> Replays:
    since = (now or timezone.now()) - ENDED_SHOWN_FOR
    visible = replay_selectors.bulk_replays(user)
    all_active = visible.filter(status=Replay.ACTIVE)
    active = list(all_active.order_by("pk")[:MOST_SHOWN])
    ended = visible.filter(finished_at__gte=since).order_by("-pk")[: MOST_SHOWN - len(active)]
    # Oldest first, so whoever is shown, the one at work in that organisation is shown before.
    at_work = {replay.org_id: replay.pk for replay in reversed(active)}
    left_out = all_active.count() - len(active) if len(active) == MOST_SHOWN else 0
    shown = [_shown(user, replay, at_work.get(replay.org_id)) for replay in (*active, *ended)]
    return Replays(shown, left_out)


def filter_words(stored: dict[str, str]) -> str:
    """A replay's filter in words: "dead letters, type http, name contains report"."""
    wanted = ReplayFilter.loaded(stored)
    words = {
        "type": wanted.type,
        "queue": wanted.queue,
        "tag": wanted.tag,
        "name contains": wanted.name,
        "error contains": wanted.error_contains,
        "ended at or after": _time(wanted.finished_after),
        "ended before": _time(wanted.finished_before),
    }
    jobs = "dead letters" if wanted.status == states.FAILED else f"{wanted.status} jobs"
    parts = [f"{name} {value}" for name, value in words.items() if value]
    return ", ".join([jobs, *parts]) if parts else f"all {jobs}"


def _time(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%d %b %Y %H:%M:%S} UTC" if moment else ""


def _shown(user: User, replay: Replay, at_work: int | None) -> ShownReplay:
    active = replay.status == Replay.ACTIVE
    return ShownReplay(
        replay=replay,
        filter=filter_words(replay.filter),
        waits=active and replay.pk != at_work,
        may_cancel=active and user.may(roles.JOBS_REPLAY_MANY),
    )
