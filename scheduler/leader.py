"""Leader election on PostgreSQL.

Model. Whoever holds the session-level advisory lock `LOCK_KEY` leads. The lock lives on a direct
connection of its own, never on a pooled one: it ends with that session, so the kill -9 of a leader
frees it as soon as the server notices the closed socket, and the next try of a standby has it. A standby
tries every POLL_S, and at once when a leader that stops calls on LEADER_CHANNEL. It does not wait inside
the server: a waiting statement keeps its snapshot, and with it every dead row of the queue. Taking the lock
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
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from django.db import connection, transaction

from scheduler.stopping import Stop

logger = logging.getLogger(__name__)

LOCK_KEY = 0x53_51_4C_45_41_44  # "SQLEAD"
LEADER_CHANNEL = "smartqueue_leader"
POLL_S = 0.2
LOOK_FOR_STALE_S = 1.0
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

# The lock is free before the call goes out, which is when this statement commits.
RESIGN = "SELECT pg_advisory_unlock(%s), pg_notify(%s, '')"

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
        self._called = False
        self._looked_for_stale = float("-inf")

    def campaign(self) -> int | None:
        """Try to take the lock; the new term when it was won, None to try again after `wait`.

        Raises psycopg.OperationalError while the database is away.
        """
        session = self._connected()
        self._called = False
        if not _scalar(session, "SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]):
            self._end_stale_leader(session)
            return None
        term = int(_scalar(session, NEW_TERM, {"name": self.name}))
        logger.info("action=elected leader=%s term=%s", self.name, term)
        return term

    def wait(self, stop: Stop) -> None:
        """Until it is time to try again: after POLL_S, or when the leader calls."""
        if self._session is not None and not self._called:
            stop.wait(POLL_S, or_readable=self._session.fileno())

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
        """Give the lock back, call the standbys and close the session."""
        if self._session is None:
            return
        try:
            self._session.execute(RESIGN, [LOCK_KEY, LEADER_CHANNEL])
        except psycopg.Error as error:
            logger.debug("action=resigned_without_session leader=%s error=%s", self.name, error)
        finally:
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
            self._session.add_notify_handler(self._hear)
            self._session.execute(f"LISTEN {LEADER_CHANNEL}")
        return self._session

    def _hear(self, _: psycopg.Notify) -> None:
        """A call may come with the answer to a statement; the socket then has nothing more to read."""
        self._called = True

    def _end_stale_leader(self, session: psycopg.Connection) -> None:
        if time.monotonic() - self._looked_for_stale < LOOK_FOR_STALE_S:
            return
        self._looked_for_stale = time.monotonic()
        parameters = {"high": LOCK_KEY >> 32, "low": LOCK_KEY & 0xFFFFFFFF, "stale_s": STALE_S}
        if session.execute(END_STALE_SESSION, parameters).fetchall():
            logger.warning("action=ended_stale_leader by=%s", self.name)


def _scalar(session: psycopg.Connection, statement: LiteralString, parameters: Any) -> Any:
    row = session.execute(statement, parameters).fetchone()
    assert row is not None
    return row[0]


# The last of them ends the statement of a leader that was killed: the next term need not wait for it.
BOUNDS = """
SELECT set_config('idle_in_transaction_session_timeout', %(stale)s, true),
    set_config('lock_timeout', %(locked)s, true),
    set_config('statement_timeout', %(statement)s, true),
    set_config('client_connection_check_interval', '100ms', true)
"""


@contextmanager
def acting(term: int) -> Iterator[None]:
    """A transaction that commits only if `term` is still the term in force; raises LeadershipLost.

    The next term waits for this transaction, so the server bounds it: a leader that was stopped inside it
    loses its session, a statement that meets somebody's lock gives up.
    """
    limits = {"stale": f"{STALE_S:g}s", "locked": f"{LOCKED_S:g}s", "statement": f"{STATEMENT_S:g}s"}
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(BOUNDS, limits)
            cursor.execute("SELECT 1 FROM jobs_schedulerleader WHERE id = 1 AND term = %s FOR SHARE", [term])
            if cursor.fetchone() is None:
                raise LeadershipLost(f"term {term} is over")
        yield
