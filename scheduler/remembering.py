"""Tells the predictor how long a worker's attempts took, twice a second and off the path that records them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from jobs.claims import Claimed, Finish
from predictor import keeping
from scheduler.database_thread import DatabaseThread

logger = logging.getLogger(__name__)

EVERY_S = 0.5
LOCK_TIMEOUT_S = 0.5
_TOLD = frozenset({"done", "failed", "timeout", "cancelled", "crashed"})


class Remembering:
    """`ran` only notes; the task `run` writes. What cannot be written is dropped: it is advice."""

    def __init__(self) -> None:
        # A session apart from that of endings: several workers add to the same rows, and no ending may wait for that.
        self.database = DatabaseThread("remember", lock_timeout_s=LOCK_TIMEOUT_S)
        self._notes = keeping.Notes()
        self._noted = asyncio.Event()
        self._clock = asyncio.get_running_loop().time

    def ran(self, attempts: Sequence[tuple[Claimed, Finish]]) -> None:
        at = self._clock()
        for job, finish in attempts:
            if finish.ending in _TOLD:
                self._notes.note(keeping.Noted(job, finish.ending, finish.runtime_ms, at))
        if self._notes:
            self._noted.set()

    async def run(self) -> None:
        while True:
            await self._noted.wait()
            await asyncio.sleep(EVERY_S)
            await self.write()

    async def write(self) -> None:
        self._noted.clear()
        if self._notes:
            try:
                await self.database.call(keeping.keep, self._notes.take(), self._clock())
            except Exception as error:
                logger.warning("action=runs_not_remembered error=%s", type(error).__name__)

    async def close(self) -> None:
        await self.database.close()
