"""The output lines of jobs: written by workers while a job runs, read by the API and the job's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

# The foreign key of a job that is deleted meanwhile must not lose the lines of the others: the join drops
# them, and the lock waits for a deletion in flight. A line that was written already (a retry after a lost
# connection) is left as it is.
APPEND = """
WITH lines AS (
    SELECT * FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::text[], %s::text[])
        AS t(job_id, attempt, seq, stream, text)
), kept AS MATERIALIZED (
    SELECT id, org_id FROM jobs_job WHERE id IN (SELECT job_id FROM lines) FOR KEY SHARE
)
INSERT INTO jobs_logline (org_id, job_id, attempt, seq, stream, text, logged_at)
SELECT kept.org_id, job_id, attempt, seq, stream, text, now() FROM lines JOIN kept ON kept.id = lines.job_id
ON CONFLICT (job_id, attempt, seq) DO NOTHING
"""


@dataclass(frozen=True)
class Line:
    """One line of an attempt; `seq` counts from 1 over all streams of the attempt."""

    job_id: int
    attempt: int
    seq: int
    stream: str
    text: str


def append(lines: Sequence[Line]) -> None:
    """Store lines in one statement."""
    if not lines:
        return
    columns = [
        [getattr(line, name) for line in lines] for name in ("job_id", "attempt", "seq", "stream", "text")
    ]
    with connection.cursor() as cursor:
        cursor.execute(APPEND, columns)
