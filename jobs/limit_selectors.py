"""What people may read of limits, their use, and an organisation's share. Every query starts from the tenant filter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Case, QuerySet, When
from django.utils import timezone

from jobs import limits as limits_service
from jobs.gate_counts import UNCOUNTED
from jobs.limit_models import EVERY_KEY, ORG, QUEUE
from jobs.models import Limit, Share
from orgs.exceptions import NotFound
from orgs.models import Organization, User
from orgs.walls import rows_of

MOST_WAITING = 10_000  # counted per limit

_NONE = "There is no such limit, or none that you may see."

_USES = """
SELECT limited.id,
    CASE
        WHEN limited.name = %(every)s THEN NULL
        WHEN gate.id IS NULL AND limited.scope = 'key' THEN 0
        WHEN gate.running < %(uncounted)s THEN gate.running
    END,
    CASE WHEN limited.name <> %(every)s THEN least(rate_count, coalesce(
        gate.tokens
            + greatest(extract(epoch FROM now() - gate.tokens_at), 0)::float8 * rate_count / rate_period_s,
        rate_count)) END,
    CASE
        WHEN limited.name = %(every)s THEN NULL
        WHEN limited.scope = 'org' THEN (
            SELECT count(*) FROM (
                SELECT 1 FROM jobs_job job
                WHERE job.org_id = limited.org_id AND status IN ('scheduled', 'blocked', 'queued') LIMIT %(most)s
            ) found
        )
        ELSE (
            SELECT count(*) FROM (
                SELECT 1 FROM jobs_flow flow
                    JOIN jobs_job job ON job.flow_id = flow.id AND status = 'queued' AND rank > '-infinity'
                WHERE flow.org_id = limited.org_id
                    AND limited.name = CASE limited.scope WHEN 'queue' THEN flow.queue ELSE flow.key END
                LIMIT %(most)s
            ) found
        )
    END
FROM jobs_limit limited LEFT JOIN jobs_gate gate USING (org_id, scope, name)
WHERE limited.id = ANY(%(limits)s::bigint[])
"""


@dataclass(frozen=True, slots=True)
class Use:
    """What a limit meets now. `running` and `waiting` are None for a limit of every key, or while they are
    counted; `running` also where nothing in the limit needs it.

    `tokens_left`: jobs that may begin at once, as far as the rate is concerned; None without a rate. `waiting`: for
    the organisation scheduled, blocked and queued jobs, else queued ones; counted up to MOST_WAITING.
    """

    running: int | None
    tokens_left: float | None
    waiting: int | None


UNKNOWN = Use(None, None, None)


@dataclass(frozen=True, slots=True)
class OwnShare:
    """What an organisation has received, in worker-seconds: see `jobs.limit_models.Share`."""

    org_id: int
    weight: float
    recent_s: float
    lead_s: float
    as_of: datetime | None


def limits(user: User) -> QuerySet[Limit]:
    """The limits that `user` may see, unordered."""
    return Limit.objects.for_user(user)


def limit(user: User, limit_id: int) -> Limit:
    """One limit; raises NotFound also when it belongs to others."""
    return _found(limits(user).filter(pk=limit_id))


def limit_named(user: User, org: Organization, scope: str, name: str) -> Limit:
    """The limit of this scope and name; raises NotFound."""
    if not limits_service.may_be_called(scope, name):
        raise NotFound(_NONE)
    return _found(limits(user).filter(org=org, scope=scope, name=name))


def uses(shown: Iterable[Limit]) -> dict[int, Use]:
    """What each of these limits meets now, by id."""
    parameters = {
        "limits": [limit.pk for limit in shown],
        "uncounted": UNCOUNTED // 2,
        "every": EVERY_KEY,
        "most": MOST_WAITING,
    }
    return {limit_id: Use(*use) for limit_id, *use in rows_of(_USES, parameters)}


def share(org: Organization, *, now: datetime | None = None) -> OwnShare:
    """As of now: what was received lately has decayed since it was noted."""
    found = Share.objects.filter(org=org).first()
    if found is None:
        return OwnShare(org.pk, org.weight, 0.0, 0.0, None)
    age_s = max(((now or timezone.now()) - found.as_of).total_seconds(), 0.0)
    left = 0.5 ** (age_s / settings.SHARE_HALF_LIFE_S)
    return OwnShare(org.pk, org.weight, found.recent_s * left, found.lead_s * left, found.as_of)


def in_order(found: QuerySet[Limit]) -> QuerySet[Limit]:
    """As pages show them: the organisation, its queues, its keys."""
    place = Case(When(scope=ORG, then=0), When(scope=QUEUE, then=1), default=2)
    return found.order_by("org_id", place, "name")


def _found(rows: QuerySet[Limit]) -> Limit:
    found = rows.select_related("org").first()
    if found is None:
        raise NotFound(_NONE)
    return found
