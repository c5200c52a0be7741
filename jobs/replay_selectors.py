"""What people may read of bulk replays. Every query starts from the tenant filter.

Counting is bounded twice, by matches and by the jobs looked at: a filter that hardly any job matches must
not read a history of millions.
"""

from __future__ import annotations

from django.db.models import QuerySet

from jobs import replays
from jobs.models import Job, Replay
from jobs.replays import ReplayFilter
from jobs.selectors import Counted
from orgs.exceptions import NotFound
from orgs.models import Organization, User

COUNT_CAP = 10_000
COUNT_REACH = 50_000


def bulk_replays(user: User) -> QuerySet[Replay]:
    return Replay.objects.for_user(user).select_related("user")


def bulk_replay(user: User, replay_id: int) -> Replay:
    """One bulk replay; raises NotFound also when it belongs to others."""
    found = bulk_replays(user).filter(pk=replay_id).first()
    if found is None:
        raise NotFound(f"There is no replay {replay_id}, or none that you may see.")
    return found


def remaining(replay: Replay) -> Counted | None:
    """How many jobs an active replay has before it; None when it has ended."""
    if replay.status != Replay.ACTIVE:
        return None
    return _counted(replays.ahead(replay), replays.to_replay(replay))


def matching(user: User, org: Organization, wanted: ReplayFilter) -> Counted:
    """How many jobs of `org` a bulk replay would submit now."""
    ended = Job.objects.for_user(user).filter(org=org, status=wanted.status)
    return _counted(ended, replays.not_replayed(wanted.matching(ended)))


def _counted(ended: QuerySet[Job], matching: QuerySet[Job]) -> Counted:
    """Up to COUNT_CAP of `matching`, among the first COUNT_REACH of `ended`."""
    behind = ended.order_by("pk").values_list("pk", flat=True)[COUNT_REACH : COUNT_REACH + 1]
    end = next(iter(behind), None)
    if end is not None:
        matching = matching.filter(pk__lt=end)
    found = matching.order_by().values("pk")[: COUNT_CAP + 1].count()
    return Counted(min(found, COUNT_CAP), capped=end is not None or found > COUNT_CAP)
