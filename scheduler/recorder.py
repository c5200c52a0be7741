"""Writes what a worker's jobs produced: output lines in small batches, endings as soon as it can.

An ending or a few are written at once; more say that more are coming, and those are waited for, for
moments. While one batch is being written the next one gathers. While the database is away everything
is kept and tried again; the lease decides in the end whether it still counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from jobs import claims, notify, output, states
from jobs.claims import Finish, Held, Moved
from jobs.database import AWAY_S, DATABASE_AWAY
from scheduler.database_thread import DatabaseThread
from scheduler.notices import Notices

logger = logging.getLogger(__name__)

OrgLine = tuple[int, output.Line]

LINES_EVERY_S = 0.2
LARGEST_BATCH = 1000
FEW, MANY = 16, 400  # endings: up to FEW are written at once, MANY are not made to wait for more
GATHER_S = 0.015
ONE_LINE_EACH = 20


class Recorder:
    """`line` and `finish` only note; the task `run` writes. `held` are endings not yet written."""

    def __init__(self, worker_id: str, database: DatabaseThread, notices: Notices | None = None) -> None:
        self.worker_id = worker_id
        self.recorded = 0  # endings that were written, without what was handed back
        self._database = database
        self._notices = notices or Notices(database)
        self._lines: list[OrgLine] = []  # with the org whose pages show it
        self._ended: list[Finish] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def held(self) -> list[Held]:
        """Endings that are not written yet: their leases must still be renewed."""
        return [(one.job_id, one.attempt) for one in self._ended]

    def line(self, org_id: int, line: output.Line) -> None:
        self._lines.append((org_id, line))
        self._idle.clear()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINES_EVERY_S, self._wake.set)

    def finish(self, ended: Sequence[Finish]) -> None:
        self._ended += ended
        self._idle.clear()
        self._wake.set()

    async def drained(self) -> None:
        """Returns once everything noted so far is written."""
        self._wake.set()
        await self._idle.wait()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            if FEW < len(self._ended) < MANY:
                await asyncio.sleep(GATHER_S)
            self._wake.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            try:
                await self._write()
            except DATABASE_AWAY as error:
                logger.warning("action=database_away worker=%s error=%s", self.worker_id, str(error).strip())
                await asyncio.sleep(AWAY_S)
                self._wake.set()

    async def _write(self) -> None:
        """Lines first: whoever sees a job ended finds all of its output."""
        lines = self._lines[:LARGEST_BATCH]
        ended = self._ended[:LARGEST_BATCH] if len(lines) == len(self._lines) else []
        try:
            moved = await self._database.call(self._store, lines, ended)
        except DATABASE_AWAY:
            raise
        except Exception as error:
            # Never with the rows or the database's own words: both hold what organisations' jobs wrote.
            kind = type(error).__name__
            logger.error("action=batch_refused worker=%s error=%s: writing one by one", self.worker_id, kind)
            moved = await self._write_singly(lines, ended)
        del self._lines[: len(lines)], self._ended[: len(ended)]
        self._notices.note({org for org, _ in lines})
        self._notices.note({job.org_id for job in moved})
        self._report(ended, moved)
        if self._lines or self._ended:
            self._wake.set()
        else:
            self._idle.set()

    async def _write_singly(self, lines: list[OrgLine], ended: list[Finish]) -> list[Moved]:
        """One row that the database refuses must not take the others with it, nor the worker."""
        for line in lines:
            await self._try_to_store([line], [])
        moved = []
        for one in ended:
            stored = await self._try_to_store([], [one])
            if stored is None:
                refused = Finish(one.job_id, one.attempt, "failed", error="The outcome could not be stored.")
                stored = await self._try_to_store([], [refused])
            moved += stored or []
        return moved

    async def _try_to_store(self, lines: list[OrgLine], ended: list[Finish]) -> list[Moved] | None:
        try:
            return await self._database.call(self._store, lines, ended)
        except DATABASE_AWAY:
            raise
        except Exception as error:
            jobs = [line.job_id for _, line in lines] + [one.job_id for one in ended]
            logger.error(
                "action=refused worker=%s jobs=%s error=%s", self.worker_id, jobs, type(error).__name__
            )
            return None

    def _store(self, lines: list[OrgLine], ended: list[Finish]) -> list[Moved]:
        output.append([line for _, line in lines])
        moved = claims.finish(worker_id=self.worker_id, ended=ended) if ended else []
        if any(job.status == states.QUEUED for job in moved):
            notify.changed((), ready=True)
        return moved

    def _report(self, ended: list[Finish], moved: list[Moved]) -> None:
        status_of = {job.job_id: job.status for job in moved}
        self.recorded += len(status_of) - sum(status == states.QUEUED for status in status_of.values())
        many = len(ended) > ONE_LINE_EACH
        done = 0
        for one in ended:
            status = status_of.get(one.job_id)
            if many and status == states.DONE:
                done += 1
            elif status is not None:
                logger.info(
                    "action=finished job=%s attempt=%s ending=%s status=%s worker=%s",
                    one.job_id, one.attempt, one.ending, status, self.worker_id,
                )  # fmt: skip
            else:
                logger.warning(
                    "action=fenced job=%s attempt=%s ending=%s worker=%s: not recorded now, because the lease "
                    "was lost or an earlier try had recorded it",
                    one.job_id, one.attempt, one.ending, self.worker_id,
                )  # fmt: skip
        if done:
            logger.info("action=finished jobs=%s ending=done worker=%s", done, self.worker_id)
