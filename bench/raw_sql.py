"""The floor: claim and complete in batches with plain SQL through psycopg, nothing else written.

One narrow table with a partial index; a claim by a CTE with SKIP LOCKED and one UPDATE over the batch
to complete. No job platform on this database can be faster.
"""

from __future__ import annotations

import time

import psycopg

CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT id FROM bench_raw WHERE state = 0 ORDER BY priority DESC, id LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE bench_raw SET state = 1 WHERE id = ANY(ARRAY(SELECT id FROM picked)) RETURNING id, payload
"""


def claims_per_second(dsn: str, *, jobs: int, batch: int) -> float:
    """Jobs per second of one connection over a backlog of `jobs`."""
    with psycopg.connect(dsn, autocommit=True) as session:
        session.execute("DROP TABLE IF EXISTS bench_raw")
        session.execute(
            "CREATE TABLE bench_raw (id bigserial PRIMARY KEY, priority int NOT NULL,"
            " state int NOT NULL, payload jsonb)"
        )
        session.execute("CREATE INDEX ON bench_raw (priority DESC, id) WHERE state = 0")
        session.execute(
            "INSERT INTO bench_raw (priority, state, payload) SELECT 0, 0, '{}' FROM generate_series(1, %s)",
            [jobs],
        )
        session.execute("VACUUM ANALYZE bench_raw")
        started = time.perf_counter()
        while ids := [row[0] for row in session.execute(CLAIM, [batch]).fetchall()]:
            session.execute("UPDATE bench_raw SET state = 2 WHERE id = ANY(%s)", [ids])
        elapsed = time.perf_counter() - started
        session.execute("DROP TABLE bench_raw")
    return jobs / elapsed
