"""The worker's own connection for claims, on its event loop.

A thread in between would have to be woken twice for each claim, which is a good part of the time from a
submission to the start of its job.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import psycopg
from django.conf import settings
from django.db import OperationalError

from jobs import claims
from jobs.claims import Claimed
from jobs.database import sessions_are_ours
from jobs.fairness import Shares
from jobs.heads import Heads
from scheduler.database_thread import LONGEST_CALL_S, PLANNER

# The server gives up first, so that no claim comes true after its worker has stopped to wait for it.
_STATEMENT_TIMEOUT = "SET statement_timeout = '10s'"
# "Where the queue begins" is looked at afresh now and then, like the polls: what is remembered cannot be
# wrong, but a pooler may put another server behind a connection that never broke.
LOOK_AGAIN_S = 30.0
LOOK_AGAIN_SHARE = 20


class ClaimSession:
    """Claims for one worker; after a failure it connects again, and looks at the queue from its beginning."""

    def __init__(
        self, worker_id: str, shares: Shares, *, types: Sequence[str], queues: Sequence[str] | None
    ) -> None:
        self._worker_id = worker_id
        self._types, self._queues = types, queues
        self._session: psycopg.AsyncConnection | None = None
        self.heads = Heads(shares)
        self._look_again_at = 0.0

    async def claim(self, limit: int) -> list[Claimed]:
        """Raises django's OperationalError when the database is away; it may have carried out the claim."""
        try:
            async with asyncio.timeout(LONGEST_CALL_S):
                return await self._claim(limit)
        except (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError, OSError) as error:
            await self.close()
            raise OperationalError(str(error) or "no answer") from error

    async def close(self) -> None:
        session, self._session = self._session, None
        self.heads.forget()
        if session is not None:
            await session.close()

    async def _claim(self, limit: int) -> list[Claimed]:
        session = self._session or await self._connect()
        if time.monotonic() >= self._look_again_at:
            self.heads.forget()
        if self.heads.xmax is None:
            await self._look(session)
        choice = self.heads.choose(limit, time.monotonic())
        asked = claims.asking(
            choice,
            self.heads,
            worker_id=self._worker_id,
            types=self._types,
            queues=self._queues,
            limit=limit,
            lease_s=settings.LEASE_S,
        )
        cursor = await session.execute(claims.statement_for(choice), asked, binary=True)
        return claims.answered(await cursor.fetchall(), choice, self.heads)

    async def _look(self, session: psycopg.AsyncConnection) -> None:
        began = time.monotonic()
        cursor = await session.execute(claims.LOOK, claims.looking(self._types, self._queues), binary=True)
        claims.looked(await cursor.fetchall(), self.heads)
        now = time.monotonic()
        self._look_again_at = now + max(LOOK_AGAIN_S, LOOK_AGAIN_SHARE * (now - began))

    async def _connect(self) -> psycopg.AsyncConnection:
        self._session = session = await psycopg.AsyncConnection.connect(
            settings.DATABASE_DSN, autocommit=True, connect_timeout=5, prepare_threshold=None
        )
        if sessions_are_ours():
            await session.execute(f"{PLANNER}; {_STATEMENT_TIMEOUT}")
            session.prepare_threshold = 0
        return session
