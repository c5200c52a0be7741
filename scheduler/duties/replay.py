"""Works bulk replays off, at their rates: the oldest active one of each organisation, the others after it.

What was submitted, how far the replay is and the time that was used up are written in one transaction, so
that after a crash nothing is replayed twice; each replay in a savepoint of its own. Two leaders cannot meet
here: the term stops the older one, and the row of the replay is held.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models.functions import Now

from jobs import replays
from jobs.database import DATABASE_AWAY, lost_the_session
from jobs.models import Job, Replay
from jobs.queue_room import QueueFull
from jobs.services import Submitted
from orgs.models import User

logger = logging.getLogger(__name__)

# Jobs that one run submits, over all replays: half a second at the highest rate. The other duties wait for it.
MOST = 500
# Jobs of the status that one run looks at per replay, whether they match or not.
WINDOW = 5000
# Time that was not used (no leader, a slow database) is made up for this far back only.
SAVED_S = 2.0
_ROUNDING = 1e-9


def run(actor: str) -> int:
    at_work = _at_work()
    share = max(MOST // max(len(at_work), 1), 1)
    return sum(_advance_alone(replay, most=share) for replay in at_work)


def _advance_alone(replay: Replay, *, most: int) -> int:
    """One that cannot go on must not keep the others from it."""
    try:
        with transaction.atomic():
            return advance(replay, most=most)
    except Exception as error:
        if isinstance(error, DATABASE_AWAY) and lost_the_session(error):
            raise
        logger.exception("action=replay_failed replay=%s org=%s", replay.pk, replay.org_id)
        return 0


def advance(replay: Replay, *, most: int) -> int:
    """Submit what the time since the last run allows, at most `most` jobs; answers how many it was."""
    rate = replay.rate_per_s
    now: datetime = getattr(replay, "looked_at")  # noqa: B009 - annotated; the clock of the database
    saved_s = min((now - replay.advanced_at).total_seconds(), max(SAVED_S, 1 / rate))
    allowed = min(int(saved_s * rate + _ROUNDING), most)
    if allowed < 1:
        return 0
    window = replays.window(replay, WINDOW)
    origins = _held(replay, window[-1], allowed) if window else []
    again = _still_to_do(origins)
    answers = replays.submit_again(again, org=replay.org, user=_requester(replay), lane=replays.BULK_LANE)
    made = sum(answer.status == "created" for answer in answers)
    if waiting := _without_room(again, answers):
        replay.last_job_id = waiting[0].pk - 1
        _note_progress(replay, made, advanced_at=now)
        return made
    cut = len(origins) == allowed
    if window:
        replay.last_job_id = origins[-1].pk if cut else window[-1]
    left_s = saved_s - allowed / rate if cut else 0.0
    _note_progress(replay, made, advanced_at=now - timedelta(seconds=left_s))
    if not cut and len(window) < WINDOW:
        replays.end(replay, Replay.DONE)
    return made


def _requester(replay: Replay) -> User | None:
    """Whose the new jobs are; nobody's, so the system's, where whoever asked has left: no job may name a stranger."""
    user = replay.user
    stays = user is not None and (user.is_platform_admin or user.org_id == replay.org_id)
    return user if stays else None


def _at_work() -> list[Replay]:
    """Held until the end of the transaction; one that somebody is cancelling is left out."""
    active = Replay.objects.filter(status=Replay.ACTIVE)
    oldest = active.order_by("org_id", "id").distinct("org_id").values("pk")
    rows = active.filter(pk__in=oldest).annotate(looked_at=Now()).select_related("org", "user")
    return list(rows.order_by("pk").select_for_update(skip_locked=True, of=("self",)))


def _held(replay: Replay, up_to: int, most: int) -> list[Job]:
    ahead = replays.to_replay(replay).filter(pk__lte=up_to).order_by("pk")
    return list(ahead.select_for_update(no_key=True, of=("self",))[:most])


def _still_to_do(origins: Sequence[Job]) -> list[Job]:
    """A replay by hand may have committed while its origin's row was waited for: looked at again, once held."""
    ids = [origin.pk for origin in origins]
    free = set(replays.not_replayed(Job.objects.filter(pk__in=ids)).values_list("pk", flat=True))
    return [origin for origin in origins if origin.pk in free]


def _without_room(origins: Sequence[Job], answers: Sequence[Submitted]) -> list[Job]:
    """Those for which the organisation may have no more jobs waiting: they come first when it may."""
    return [
        origin for origin, answer in zip(origins, answers, strict=True) if isinstance(answer.error, QueueFull)
    ]


def _note_progress(replay: Replay, made: int, *, advanced_at: datetime) -> None:
    replay.replayed += made
    replay.advanced_at = advanced_at
    replay.save(update_fields=["last_job_id", "replayed", "advanced_at"])
