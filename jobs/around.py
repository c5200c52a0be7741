"""Reads what is around the waiting jobs of an organisation: pauses, live workers, limits and their counters.

Called by `jobs.explaining`, for a job that its reader may see.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db import connection
from django.db.models import Q, QuerySet

from jobs import control, selectors
from jobs.models import Job, Pause, Worker
from jobs.standing import EVERY_KEY, KEY, Around, Count, Hand, Held, Place, Rule, Scope
from orgs import actors
from orgs.models import User

# Two looks in an index for each.
_LIMITS = """
SELECT asked.scope, asked.name, rule.id IS NOT NULL, rule.max_running, rule.rate_count, rule.rate_period_s,
    coalesce(gate.running, 0), gate.tokens, gate.tokens_at
FROM unnest(%(scopes)s::text[], %(names)s::text[]) AS asked(scope, name)
LEFT JOIN LATERAL (
    SELECT * FROM jobs_limit WHERE org_id = %(org)s AND scope = asked.scope AND name = asked.name LIMIT 1
) rule ON true
LEFT JOIN LATERAL (
    SELECT * FROM jobs_gate WHERE org_id = %(org)s AND scope = asked.scope AND name = asked.name LIMIT 1
) gate ON true
"""


def of(user: User, job: Job, places: Collection[Place], now: datetime) -> Around:
    """All that may keep jobs at these places of its organisation from beginning, as `user` may know it, at `now`."""
    rules, counts = _limits(
        job.org_id, {scope for place in places for scope in place.scopes} | {(KEY, EVERY_KEY)}
    )
    return Around(
        now=now,
        pauses=[_held(user, pause) for pause in _pauses(job)],
        workers=[_hand(worker) for worker in selectors.active_workers()],
        rules=rules,
        counts=counts,
    )


def _limits(org_id: int, asked: Collection[Scope]) -> tuple[dict[Scope, Rule], dict[Scope, Count]]:
    """The limits that there are, and what their counters say."""
    scopes, names = (list(column) for column in zip(*asked, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(_LIMITS, {"org": org_id, "scopes": scopes, "names": names})
        rows = cursor.fetchall()
    rules = {(scope, name): Rule(*rule) for scope, name, found, *rule, _, _, _ in rows if found}
    return rules, {(scope, name): Count(*count) for scope, name, _, _, _, _, *count in rows}


def _pauses(job: Job) -> QuerySet[Pause]:
    """The organisation's and the platform's, oldest first."""
    of_org = Pause.objects.filter(Q(org=None) | Q(org=job.org_id))
    return of_org.select_related("created_by").order_by("pk")


def _held(user: User, pause: Pause) -> Held:
    return Held(
        id=pause.pk,
        queue=pause.queue,
        type=pause.type,
        scope=control.scope_of(pause),
        since=pause.created_at,
        by=actors.name_for(user, pause.created_by, pause.created_by_id),
        why=pause.reason,
        by_platform=pause.org_id is None,
    )


def _hand(worker: Worker) -> Hand:
    return Hand(
        types=frozenset(worker.types),
        queues=None if worker.queues is None else frozenset(worker.queues),
        slots=worker.concurrency,
        running=worker.running,
        takes=worker.wanted == Worker.RUN,
    )
