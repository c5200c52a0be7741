from __future__ import annotations

import asyncio
from contextlib import suppress

import psycopg
import pytest

from jobs.database import DATABASE_AWAY
from scheduler import database_thread
from scheduler.database_thread import DatabaseThread


@pytest.mark.django_db(transaction=True)
def test_a_session_that_ends_while_it_is_prepared_counts_as_an_absent_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Anything else would end the worker, or have it record finished jobs as failed."""
    prepare = database_thread._prepare

    def prepare_too_late(session: psycopg.Connection, lock_timeout_s: float) -> None:
        with suppress(psycopg.errors.AdminShutdown):
            session.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        prepare(session, lock_timeout_s)

    monkeypatch.setattr(database_thread, "_prepare", prepare_too_late)

    async def call() -> None:
        thread = DatabaseThread("test")
        try:
            await thread.call(int)
        finally:
            await thread.close()

    with pytest.raises(DATABASE_AWAY):
        asyncio.run(call())
