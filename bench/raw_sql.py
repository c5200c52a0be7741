"""The floor: the same work with plain SQL through psycopg, nothing else written.

One narrow table with a partial index; a claim by a CTE with SKIP LOCKED and one UPDATE over the batch
to complete. No job platform on this database can be faster with the same statements.
"""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import psycopg

Session = psycopg.Connection[Any]

CHANNEL = "bench_raw"
CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT id FROM bench_raw WHERE state = 0 ORDER BY priority DESC, id LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE bench_raw SET state = 1 WHERE id = ANY(ARRAY(SELECT id FROM picked)) RETURNING id, payload
"""
COMPLETE = "UPDATE bench_raw SET state = 2 WHERE id = ANY(%s)"
INSERT = "INSERT INTO bench_raw (priority, state, payload) SELECT 0, 0, '{}' FROM generate_series(1, %s)"


def make_table(session: Session) -> None:
    session.execute("DROP TABLE IF EXISTS bench_raw")
    session.execute(
        "CREATE TABLE bench_raw (id bigserial PRIMARY KEY, priority int NOT NULL,"
        " state int NOT NULL, payload jsonb)"
    )
    session.execute("CREATE INDEX ON bench_raw (priority DESC, id) WHERE state = 0")


def work_off(session: Session, batch: int) -> int:
    """Claim and complete one batch; answers how many jobs it had."""
    ids = [row[0] for row in session.execute(CLAIM, [batch]).fetchall()]
    if ids:
        session.execute(COMPLETE, [ids])
    return len(ids)


def claims_per_second(dsn: str, *, jobs: int, batch: int) -> float:
    """Jobs per second of one connection over a backlog of `jobs`."""
    with psycopg.connect(dsn, autocommit=True) as session:
        make_table(session)
        session.execute(INSERT, [jobs])
        session.execute("VACUUM ANALYZE bench_raw")
        started = time.perf_counter()
        while work_off(session, batch):
            pass
        elapsed = time.perf_counter() - started
        session.execute("DROP TABLE bench_raw")
    return jobs / elapsed


def round_trips(dsn: str, *, count: int, pause_s: tuple[float, float]) -> list[float]:
    """Milliseconds from just before the insert and notify to the claimed row on another connection."""
    waits: list[float] = []
    with psycopg.connect(dsn, autocommit=True) as sender:
        make_table(sender)
        ready = threading.Event()
        submitted: list[float] = []
        receiver = threading.Thread(target=_receive, args=(dsn, count, submitted, waits, ready))
        receiver.start()
        ready.wait(timeout=10)
        for _ in range(count):
            submitted.append(time.perf_counter())
            with sender.transaction():
                sender.execute(INSERT, [1])
                sender.execute(f"NOTIFY {CHANNEL}")
            time.sleep(random.uniform(*pause_s))
        receiver.join(timeout=30)
    return waits


def _receive(
    dsn: str, count: int, submitted: list[float], waits: list[float], ready: threading.Event
) -> None:
    with psycopg.connect(dsn, autocommit=True) as listener, psycopg.connect(dsn, autocommit=True) as session:
        listener.execute(f"LISTEN {CHANNEL}")
        ready.set()
        for _ in listener.notifies(timeout=30):
            for _ in session.execute(CLAIM, [10]).fetchall():
                waits.append((time.perf_counter() - submitted[len(waits)]) * 1000)
            if len(waits) >= count:
                return
