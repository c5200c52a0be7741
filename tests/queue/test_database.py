"""A pool whose connections died is usable again at once, not after one failed request per connection."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import psycopg
import pytest
from django.db import connection

from jobs.database import replace_dead_connections
from tests.processes import database_url
from tests.waiting import wait_until


def fill_pool(size: int) -> None:
    """`size` threads hold a connection at the same moment and give it back."""
    barrier = Barrier(size)

    def hold() -> None:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=20)
        finally:
            connection.close()

    with ThreadPoolExecutor(size) as threads:
        for done in [threads.submit(hold) for _ in range(size)]:
            done.result()


@pytest.mark.django_db(transaction=True)
def test_dead_connections_are_replaced_all_at_once() -> None:
    pool: Any = connection.pool
    connection.close()
    fill_pool(6)
    with psycopg.connect(database_url(), autocommit=True) as other:
        ended = other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    assert len(ended) >= 6
    lost = pool.get_stats().get("connections_lost", 0)
    replace_dead_connections()
    wait_until(
        lambda: pool.get_stats().get("connections_lost", 0) >= lost + 6, 20, "all dead ones were found"
    )
    wait_until(lambda: pool.get_stats()["pool_available"] >= 6, 20, "and replaced")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
