"""What analytics writes: samples of the queue's depth. Called by the leader's duties only."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from analytics.models import QueueSample
from jobs import states

# One more sample of zero after the last job has ended, then none: idle organisations cost nothing. Counted
# for each organisation from the partial index job_of_org_not_done alone, past its dead letters; the statuses
# stand in the text, because the planner proves a partial index from constants only.
RECORD = f"""
INSERT INTO analytics_queuesample (org_id, taken_at, queued, running, scheduled)
SELECT org.id, coalesce(%(now)s, now()), depth.queued, depth.running, depth.scheduled
FROM orgs_organization org
CROSS JOIN LATERAL (
    SELECT count(*) AS total,
        count(*) FILTER (WHERE status = 'queued') AS queued,
        count(*) FILTER (WHERE status = 'running') AS running,
        count(*) FILTER (WHERE status = 'scheduled') AS scheduled
    FROM jobs_job
    WHERE org_id = org.id AND status IN ({", ".join(f"'{status}'" for status in states.ACTIVE)})
) depth
LEFT JOIN LATERAL (
    SELECT sample.queued + sample.running + sample.scheduled AS total
    FROM analytics_queuesample sample WHERE sample.org_id = org.id
    ORDER BY sample.taken_at DESC LIMIT 1
) last ON true
WHERE depth.total > 0 OR last.total > 0
"""  # noqa: S608 - names of our own


def record_queue_samples(now: datetime | None = None) -> int:
    """Note the depth of every organisation that has unfinished jobs or had some at its last sample.

    Answers how many samples were written. Without `now` the database clock counts.
    """
    with connection.cursor() as cursor:
        cursor.execute(RECORD, {"now": now})
        return int(cursor.rowcount)


def prune_samples(older_than: datetime, limit: int = 10_000) -> int:
    """Delete up to `limit` samples taken before `older_than`, the oldest first; answers how many."""
    oldest = (
        QueueSample.objects.filter(taken_at__lt=older_than).order_by("taken_at").values_list("pk", flat=True)
    )
    deleted, _ = QueueSample.objects.filter(pk__in=list(oldest[:limit])).delete()
    return deleted
