"""The output lines of jobs: written by workers while a job runs, read by the API and the job's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

# The foreign key of a job that was deleted meanwhile must not lose the lines of the others: the join
# drops them. A line that was written already (a retry after a lost connection) is left as it is.
APPEND = """
INSERT INTO jobs_logline (org_id, job_id, attempt, seq, stream, text, logged_at)
SELECT j.org_id, t.job_id, t.attempt, t.seq, t.stream, t.text, now()
FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::text[], %s::text[]) AS t(job_id, attempt, seq, stream, text)
JOIN jobs_job j ON j.id = t.job_id
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
