"""Tells the pages which organisations' jobs have changed: at once, and while a worker is busy now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from jobs import notify
from jobs.database import DATABASE_AWAY
from scheduler.database_thread import DatabaseThread

logger = logging.getLogger(__name__)

EVERY_S = 0.1


class Notices:
    """`note` only notes; the task `run` sends. A notice that is lost is made good by the next change."""

    def __init__(self, database: DatabaseThread) -> None:
        self._database = database
        self._orgs: set[int] = set()
        self._wake = asyncio.Event()

    def note(self, org_ids: Iterable[int]) -> None:
        self._orgs.update(org_ids)
        if self._orgs:
            self._wake.set()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.send()
            await asyncio.sleep(EVERY_S)

    async def send(self) -> None:
        """Send what is noted now."""
        orgs, self._orgs = self._orgs, set()
        if not orgs:
            return
        try:
            await self._database.call(notify.changed, orgs)
        except DATABASE_AWAY as error:
            logger.warning("action=notice_lost error=%s", str(error).strip())
