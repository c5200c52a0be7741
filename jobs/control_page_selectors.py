"""What the pages show of pauses, in the shape of their fragment."""

from __future__ import annotations

from dataclasses import dataclass

from jobs import control, control_selectors
from jobs.models import Pause
from orgs import actors
from orgs.models import User

MOST_SHOWN = 20


@dataclass(frozen=True)
class ShownPause:
    """`org_name` and `who` are empty where the reader need not know, or nobody does."""

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


def pauses(user: User) -> Pauses:
    visible = control_selectors.pauses(user)
    found = list(visible.select_related("org", "created_by").order_by("-pk")[:MOST_SHOWN])
    left_out = visible.count() - len(found) if len(found) == MOST_SHOWN else 0
    return Pauses([_shown_pause(user, pause) for pause in found], left_out)


def _shown_pause(user: User, pause: Pause) -> ShownPause:
    return ShownPause(
        pause=pause,
        scope=control.scope_of(pause),
        org_name=pause.org.name if pause.org and user.sees_all else "",
        who=actors.name_for(user, pause.created_by, pause.created_by_id),
        may_resume=control.may_resume(user, pause),
    )
