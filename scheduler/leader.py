"""Leader election on PostgreSQL.

Model. Whoever holds the session-level advisory lock `LOCK_KEY` leads. The lock lives on a direct
connection of its own, never on a pooled one: it ends with that session, so the kill -9 of a leader
frees it as soon as the server notices the closed socket, and the next try of a standby has it (a
standby that waited inside the server would leave an error in its log at every time-out). Taking the lock
starts a new term: the one row of
`jobs_schedulerleader` gets the next number. Every write of a leader runs inside `acting(term)`, which
share-locks that row and checks the number; the next leader's term cannot begin before such a
transaction has ended, and after that the old number no longer passes. Two leaders can thus never both
act, whatever their clocks or sockets believe. On any error the lock counts as lost.

Clocks. Only the database clock is used. It serves one purpose: a leader whose row was not refreshed
for `STALE_S` (a stopped process still holds its session) has its session ended by a standby.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from django.db import connection, transaction

logger = logging.getLogger(__name__)

LOCK_KEY = 0x53_51_4C_45_41_44  # "SQLEAD"
POLL_S = 0.2
STALE_S = 10.0
STATEMENT_S = 8.0
LOCKED_S = 2.0

# The server drops the session of a leader whose machine vanished without closing the socket.
SESSION_OPTIONS = "-c tcp_keepalives_idle=2 -c tcp_keepalives_interval=1 -c tcp_keepalives_count=3"

NEW_TERM = """
INSERT INTO jobs_schedulerleader AS leader (id, worker_id, term, elected_at, last_seen)
VALUES (1, %(name)s, 1, now(), now())
ON CONFLICT (id) DO UPDATE
    SET worker_id = excluded.worker_id, term = leader.term + 1, elected_at = now(), last_seen = now()
RETURNING term
"""

END_STALE_SESSION = """
SELECT pg_terminate_backend(locks.pid)
FROM pg_locks locks, jobs_schedulerleader leader
WHERE locks.locktype = 'advisory' AND locks.granted
    AND locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND locks.classid::bigint = %(high)s AND locks.objid::bigint = %(low)s AND locks.objsubid = 1
    AND leader.last_seen < now() - make_interval(secs => %(stale_s)s)
"""


class LeadershipLost(Exception):
    """Another scheduler leads, or the session that held the lock is gone."""


class Leadership:
    """One scheduler's seat in the election; `name` is what the leader row shows."""

    def __init__(self, dsn: str, name: str) -> None:
        self.dsn = dsn
        self.name = name
        self._session: psycopg.Connection | None = None

    def campaign(self) -> int | None:
        """Try to take the lock; the new term when it was won, None to try again after POLL_S.

        Raises psycopg.OperationalError while the database is away.
        """
        session = self._connected()
        if not _scalar(session, "SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]):
            self._end_stale_leader(session)
            return None
        term = int(_scalar(session, NEW_TERM, {"name": self.name}))
        logger.info("action=elected leader=%s term=%s", self.name, term)
        return term

    def confirm(self, term: int) -> None:
        """Refresh the leader row through the session that holds the lock; raises LeadershipLost."""
        if self._session is None:
            raise LeadershipLost("the session is gone")
        try:
            seen = self._session.execute(
                "UPDATE jobs_schedulerleader SET last_seen = now() WHERE term = %s AND worker_id = %s",
                [term, self.name],
            )
        except psycopg.Error as error:
            raise LeadershipLost(f"the session is gone: {error}") from error
        if seen.rowcount != 1:
            raise LeadershipLost(f"term {term} is over")

    def resign(self) -> None:
        """Close the session: the lock is free at once."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _connected(self) -> psycopg.Connection:
        if self._session is None or self._session.closed:
            self._session = psycopg.connect(
                self.dsn,
                autocommit=True,
                connect_timeout=5,
                options=SESSION_OPTIONS,
                application_name=self.name[:63],
            )
        return self._session

    def _end_stale_leader(self, session: psycopg.Connection) -> None:
        parameters = {"high": LOCK_KEY >> 32, "low": LOCK_KEY & 0xFFFFFFFF, "stale_s": STALE_S}
        if session.execute(END_STALE_SESSION, parameters).fetchall():
            logger.warning("action=ended_stale_leader by=%s", self.name)


def _scalar(session: psycopg.Connection, statement: LiteralString, parameters: Any) -> Any:
    row = session.execute(statement, parameters).fetchone()
    assert row is not None
    return row[0]


@contextmanager
def acting(term: int) -> Iterator[None]:
    """A transaction that commits only if `term` is still the term in force; raises LeadershipLost.

    The next term waits for this transaction, so the server bounds it: a leader that was stopped inside it
    loses its session, a statement that meets somebody's lock gives up.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{STALE_S:g}s'")
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCKED_S:g}s'")
            cursor.execute(f"SET LOCAL statement_timeout = '{STATEMENT_S:g}s'")
            cursor.execute("SELECT 1 FROM jobs_schedulerleader WHERE id = 1 AND term = %s FOR SHARE", [term])
            if cursor.fetchone() is None:
                raise LeadershipLost(f"term {term} is over")
        yield
