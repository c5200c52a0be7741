"""Writes what a worker's jobs produced: output lines in small batches, endings as soon as it can.

An ending or a few are written at once; more say that more are coming, and those are waited for, for
moments. While one batch is being written the next one gathers. While the database is away everything
is kept and tried again; the lease decides in the end whether it still counts. A job whose row somebody
else has locked, or a gate that its ending leaves, is put aside and tried again, so that only it waits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from jobs import leases, notify, output, states
from jobs.claims import Finish, Held, Moved
from jobs.database import AWAY_S, DATABASE_AWAY, lost_the_session
from jobs.models import Gate, Job
from scheduler.database_thread import DatabaseThread
from scheduler.notices import Notices

logger = logging.getLogger(__name__)

OrgLine = tuple[int, output.Line]

LINES_EVERY_S = 0.2
LARGEST_BATCH = 1000
FEW, MANY = 16, 400  # endings: up to FEW are written at once, MANY are not made to wait for more
GATHER_S = 0.015
ONE_LINE_EACH = 20
LOCK_TIMEOUT_S = 1.0  # of the database thread's session: see DatabaseThread
AGAIN_S = 1.0  # until what was put aside is tried again
CAREFUL_S = 10.0  # after a write that failed: locked rows are looked for first
MOST_BEHIND = 5_000  # lines and endings
MOST_ASIDE = 50_000
GATE_LOOKS, GATE_PAUSE_S = 3, 0.01  # claims hold a gate for moments: nothing is put aside for those


class Batch(NamedTuple):
    """What is written together."""

    lines: list[OrgLine]
    ended: list[Finish]

    @property
    def jobs(self) -> set[int]:
        return {line.job_id for _, line in self.lines} | self.ending

    @property
    def ending(self) -> set[int]:
        return {one.job_id for one in self.ended}

    def split(self, jobs: Container[int]) -> tuple[Batch, Batch]:
        """What is of these jobs, and the rest."""
        parts = Batch([], []), Batch([], [])
        for line in self.lines:
            parts[line[1].job_id not in jobs].lines.append(line)
        for one in self.ended:
            parts[one.job_id not in jobs].ended.append(one)
        return parts

    def add(self, other: Batch) -> None:
        self.lines.extend(other.lines)
        self.ended.extend(other.ended)

    def __bool__(self) -> bool:
        return bool(self.lines or self.ended)


class Recorder:
    """`line` and `finish` only note; the task `run` writes. `held` are endings not yet written.

    While it `is_behind` no more work should be begun; `on_caught_up` is called when it no longer is.
    """

    def __init__(
        self,
        worker_id: str,
        database: DatabaseThread,
        notices: Notices | None = None,
        *,
        on_caught_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.worker_id = worker_id
        self.recorded = 0  # endings that were written, without what was handed back
        self._database = database
        self._notices = notices or Notices(database)
        self._on_caught_up = on_caught_up
        self._lines: list[OrgLine] = []  # with the org whose pages show it
        self._ended: list[Finish] = []
        self._after: list[int] = []  # of each ending: how many lines were noted before it
        self._noted = self._written = 0  # lines
        self._aside = Batch([], [])  # of jobs that are locked, or their gates
        self._careful_until = 0.0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._timer: asyncio.TimerHandle | None = None
        self._again_is_due = False
        self._clock = asyncio.get_running_loop().time

    @property
    def held(self) -> list[Held]:
        """Endings that are not written yet: their leases must still be renewed."""
        return [(one.job_id, one.attempt) for one in (*self._ended, *self._aside.ended)]

    @property
    def is_behind(self) -> bool:
        """Whether too much waits to be written."""
        aside = len(self._aside.lines) + len(self._aside.ended)
        return len(self._lines) + len(self._ended) > MOST_BEHIND or aside > MOST_ASIDE

    def line(self, org_id: int, line: output.Line) -> None:
        self._lines.append((org_id, line))
        self._noted += 1
        self._idle.clear()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINES_EVERY_S, self._wake.set)

    def finish(self, ended: Sequence[Finish]) -> None:
        self._ended += ended
        self._after += [self._noted] * len(ended)
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
            was_behind = self.is_behind
            if self._again_is_due:
                self._try_again()
            try:
                await self._write()
            except DATABASE_AWAY as error:
                self._be_careful()
                logger.warning("action=database_away worker=%s error=%s", self.worker_id, str(error).strip())
                await asyncio.sleep(AWAY_S)
                self._wake.set()
            if was_behind and not self.is_behind:
                self._on_caught_up()

    async def _write(self) -> None:
        """The lines of a job before its ending: whoever sees it ended finds all of its output."""
        lines = self._lines[:LARGEST_BATCH]
        ready = min(bisect_right(self._after, self._written + len(lines)), LARGEST_BATCH)
        noted = Batch(lines, self._ended[:ready])
        # What follows on something that was put aside waits with it.
        aside, batch = noted.split(self._aside.jobs) if self._aside else (Batch([], []), noted)
        locked, moved = await self._save(batch)
        del self._lines[: len(lines)], self._ended[:ready], self._after[:ready]
        self._written += len(lines)
        if locked:
            _, batch = batch.split(locked.jobs)
            aside.add(locked)
        self._put_aside(aside)
        self._notices.note({org for org, _ in batch.lines})
        self._notices.note({job.org_id for job in moved})
        self._report(batch.ended, moved)
        if self._lines or self._ended:
            self._wake.set()
        elif not self._aside:
            self._idle.set()

    def _put_aside(self, batch: Batch) -> None:
        if batch:
            if not self._aside:
                asyncio.get_running_loop().call_later(AGAIN_S, self._note_due)
            self._be_careful()
            self._aside.add(batch)

    def _note_due(self) -> None:
        self._again_is_due = True
        self._wake.set()

    def _try_again(self) -> None:
        """What was put aside goes before all that came since. Not while a batch is being written."""
        self._again_is_due = False
        lines, ended = self._aside
        self._aside = Batch([], [])
        self._lines[:0] = lines
        self._written -= len(lines)
        self.finish(ended)

    def _be_careful(self) -> None:
        self._careful_until = self._clock() + CAREFUL_S

    async def _save(self, batch: Batch) -> tuple[Batch, list[Moved]]:
        """Store what can be stored; what cannot yet, for rows that it needs are locked, comes back."""
        try:
            if self._clock() >= self._careful_until:
                try:
                    return Batch([], []), await self._database.call(self._store, batch)
                except DATABASE_AWAY as error:
                    if lost_the_session(error):
                        raise
                    kind = type(error.__cause__ or error).__name__
                    logger.warning("action=write_held_up worker=%s error=%s", self.worker_id, kind)
            return await self._database.call(self._store_free, batch)
        except DATABASE_AWAY:
            raise
        except Exception as error:
            # Never with the rows or the database's own words: both hold what organisations' jobs wrote.
            kind = type(error).__name__
            logger.error("action=batch_refused worker=%s error=%s: writing one by one", self.worker_id, kind)
            return await self._save_singly(batch)

    async def _save_singly(self, batch: Batch) -> tuple[Batch, list[Moved]]:
        """One row that the database refuses must not take the others with it, nor the worker."""
        locked = Batch([], [])
        moved: list[Moved] = []
        for line in batch.lines:
            stored = await self._try_to_save(Batch([line], []))
            locked.add(stored[0] if stored else Batch([], []))
        late, batch = batch.split(locked.jobs)
        locked.ended.extend(late.ended)
        for one in batch.ended:
            stored = await self._try_to_save(Batch([], [one]))
            if stored is None:
                refused = Finish(one.job_id, one.attempt, "failed", error="The outcome could not be stored.")
                stored = await self._try_to_save(Batch([], [refused]))
            if stored is not None:
                locked.add(stored[0])
                moved += stored[1]
        return locked, moved

    async def _try_to_save(self, batch: Batch) -> tuple[Batch, list[Moved]] | None:
        try:
            return await self._database.call(self._store_free, batch)
        except DATABASE_AWAY:
            raise
        except Exception as error:
            logger.error(
                "action=refused worker=%s jobs=%s error=%s",
                self.worker_id,
                sorted(batch.jobs),
                type(error).__name__,
            )
            return None

    def _store(self, batch: Batch) -> list[Moved]:
        output.append([line for _, line in batch.lines])
        moved = leases.finish(worker_id=self.worker_id, ended=batch.ended) if batch.ended else []
        if any(job.status == states.QUEUED or job.reopened for job in moved):
            notify.changed((), ready=True)
        return moved

    def _store_free(self, batch: Batch) -> tuple[Batch, list[Moved]]:
        """As `_store`, without a wait for the row of a job, nor for long for a gate."""
        with transaction.atomic():
            locked, free = batch.split(_locked(batch))
            return locked, self._store(free)

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


def _locked(batch: Batch) -> set[int]:
    """Jobs of which somebody else holds the row or, where they end, a gate. What the others need is held from now on.

    A deleted job is none of them. Jobs before gates: see `jobs.gates`.
    """
    locked = _held_elsewhere(Job.objects.filter(pk__in=batch.jobs))
    ending = Job.objects.filter(pk__in=batch.ending - locked)
    gates = {job: of_job or [] for job, of_job in ending.values_list("pk", "gates")}
    held = _gates_held_elsewhere({gate for of_job in gates.values() for gate in of_job})
    return locked | {job for job, of_job in gates.items() if held.intersection(of_job)}


def _gates_held_elsewhere(gates: Iterable[int]) -> set[int]:
    held = _held_elsewhere(Gate.objects.filter(pk__in=gates))
    for _ in range(GATE_LOOKS - 1):
        if not held:
            break
        time.sleep(GATE_PAUSE_S)
        held = _held_elsewhere(Gate.objects.filter(pk__in=held))
    return held


def _held_elsewhere(rows: QuerySet[Any]) -> set[int]:
    """Those of these rows that somebody else holds; the others are held from now on, locked in the order of ids."""
    free = rows.order_by("pk").select_for_update(skip_locked=True, no_key=True)
    mine = set(free.values_list("pk", flat=True))
    return set(rows.values_list("pk", flat=True)) - mine
