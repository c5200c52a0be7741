"""What analytics writes: samples of the queue's depth. Called by the leader's duties only."""

from __future__ import annotations

from datetime import datetime

from django.db import connection

from analytics.models import QueueSample
from jobs import states

# One more sample of zero after the last job has ended, then none: idle organisations cost nothing. The
# statuses stand in the text, because the planner proves the partial index job_active from constants only.
RECORD = f"""
INSERT INTO analytics_queuesample (org_id, taken_at, queued, running, scheduled)
SELECT org.id, coalesce(%(now)s, now()),
    coalesce(depth.queued, 0), coalesce(depth.running, 0), coalesce(depth.scheduled, 0)
FROM orgs_organization org
LEFT JOIN (
    SELECT org_id,
        count(*) FILTER (WHERE status = 'queued') AS queued,
        count(*) FILTER (WHERE status = 'running') AS running,
        count(*) FILTER (WHERE status = 'scheduled') AS scheduled
    FROM jobs_job WHERE status IN ({", ".join(f"'{status}'" for status in states.ACTIVE)})
    GROUP BY org_id
) depth ON depth.org_id = org.id
LEFT JOIN LATERAL (
    SELECT sample.queued + sample.running + sample.scheduled AS total
    FROM analytics_queuesample sample WHERE sample.org_id = org.id
    ORDER BY sample.taken_at DESC LIMIT 1
) last ON true
WHERE depth.org_id IS NOT NULL OR last.total > 0
"""  # noqa: S608 - names of our own


def record_queue_samples(now: datetime | None = None) -> int:
    """Note the depth of every organisation that has unfinished jobs or had some at its last sample.

    Answers how many samples were written. Without `now` the database clock counts.
    """
    with connection.cursor() as cursor:
        cursor.execute(RECORD, {"now": now})
        return int(cursor.rowcount)


def prune_samples(older_than: datetime) -> int:
    """Delete samples taken before `older_than`; answers how many."""
    deleted, _ = QueueSample.objects.filter(taken_at__lt=older_than).delete()
    return deleted
