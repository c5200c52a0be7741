"""Sessions that hold back PostgreSQL's clean-up, as forgotten transactions and long reports do."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from bench import product
from bench.cluster import Server

READERS = 4
READ_EVERY_S = 1.0  # each: on two cores, scans without a pause would measure who gets the processor
HOT_TABLES = ("jobs_job", "jobs_jobevent", "jobs_executionlog")


@contextmanager
def idle_in_transaction(server: Server, database: str = product.DATABASE) -> Iterator[int]:
    """A session that has a transaction id and does nothing; yields its pid."""
    with psycopg.connect(server.dsn(database)) as session:
        session.execute("SELECT pg_current_xact_id()")
        yield session.info.backend_pid
        session.rollback()


@contextmanager
def readers(
    server: Server, database: str = product.DATABASE, tables: Sequence[str] = HOT_TABLES
) -> Iterator[None]:
    """Four sessions, each reading whole tables once a second inside one REPEATABLE READ transaction."""
    over = threading.Event()
    threads = [
        threading.Thread(target=_read, args=(server.dsn(database), tables, over), daemon=True)
        for _ in range(READERS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _read(dsn: str, tables: Sequence[str], over: threading.Event) -> None:
    with psycopg.connect(dsn) as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        while not over.wait(READ_EVERY_S):
            for table in tables:
                session.execute(f"SELECT count(*) FROM {table}")
        session.rollback()
