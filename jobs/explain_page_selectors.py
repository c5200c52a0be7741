"""What the page of a job shows of where it stands, in the shape of its fragment."""

from __future__ import annotations

from dataclasses import dataclass

from jobs import explaining, states
from jobs.explaining import Predicted
from jobs.models import Job
from jobs.rank_terms import Rank
from jobs.reasons import Reason, counted_up_to
from jobs.standing import Position, ShareOf
from orgs.models import User
from orgs.wording import duration


@dataclass(frozen=True)
class Queued:
    """A queued job among others, in words. `held_back` and `lead` are empty where there is none."""

    ahead: str
    held_back: str
    others: str
    received: str
    weight: float
    lead: str


@dataclass(frozen=True)
class Explained:
    """`queued` is None unless it is; `ended`: nothing more happens to it."""

    reason: Reason
    also: list[Reason]
    waiting: bool
    ended: bool
    queued: Queued | None
    rank: Rank
    prediction: Predicted


def explained(user: User, job: Job) -> Explained:
    found = explaining.explain(user, job)
    queued = _queued(found.position, found.share) if found.position and found.share else None
    return Explained(
        reason=found.reason,
        also=found.also,
        waiting=found.status in states.WAITING,
        ended=found.status in states.FINAL,
        queued=queued,
        rank=found.rank,
        prediction=found.prediction,
    )


def _queued(position: Position, share: ShareOf) -> Queued:
    held_back = counted_up_to(position.held_back, position.held_back_capped, "job").lower()
    others = counted_up_to(share.others, share.others_capped, "other organisation")
    return Queued(
        ahead=counted_up_to(position.in_the_way, position.in_the_way_capped, "job"),
        held_back=held_back if position.held_back else "",
        others=others if share.others else "",
        received=duration(share.received_s * 1000),
        weight=share.weight,
        lead=duration(share.lead_s * 1000) if share.used else "",
    )
