"""The worker process: an event loop that claims jobs, has them run and records how they ended.

Side tasks, each a method or object: listen (NOTIFY as a hint), beat (leases and heartbeat), claim, record,
tell the pages. If one of them dies, the worker stops: a supervisor starts a new one. Claims have a session on
the loop, endings and heartbeats a database thread each, so that PostgreSQL can work on a claim and on
endings at a time, and a slow write cannot cost a lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from django.conf import settings

from jobs import leases, notify, output
from jobs.claims import Claimed, Finish, Held
from jobs.database import AWAY_S, DATABASE_AWAY
from jobs.executors.process import JobProcesses
from jobs.fairness import Shares
from scheduler import registry
from scheduler.claim_session import ClaimSession
from scheduler.database_thread import DatabaseThread
from scheduler.notices import Notices
from scheduler.pool import Pool
from scheduler.recorder import LOCK_TIMEOUT_S, Recorder
from scheduler.remembering import Remembering
from scheduler.sharing import Sharing

logger = logging.getLogger(__name__)

JITTER = 0.1
LISTEN_CHECK_S = 30.0
MOST_PER_CLAIM = 500
COLLISION_S = 0.002
SHARE_S = 1.0


class WorkerBroken(Exception):
    """Job processes can no longer be started here; a new worker must take over."""


class Worker:
    """`run()` returns after `request_stop()`, once its jobs ended or were handed back."""

    def __init__(
        self, *, types: Sequence[str], concurrency: int, grace_s: float, queues: Sequence[str] | None = None
    ) -> None:
        """`queues` None: all. To be made on a running event loop."""
        self.id = str(uuid.uuid4())
        self.types = list(types)
        self.queues = None if queues is None else list(queues)
        self.grace_s = grace_s
        # Held by the listening session: when it is free, the worker is gone or cut off. See duties.rescue_lost.
        self.lock_key = uuid.UUID(self.id).int >> 65
        self._stopping = asyncio.Event()
        self._hint = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._wanted = "run"
        self._claim_unheard = False
        self._cancels: dict[int, float] = {}  # cancel requests of the last moments: job id, when
        self._told = 0  # of the endings that the recorder has counted
        self._shares = Shares(settings.SHARE_HALF_LIFE_S, asyncio.get_running_loop().time())
        self._claims = ClaimSession(self.id, self._shares, types=self.types, queues=self.queues)
        self._record_database = DatabaseThread("record", lock_timeout_s=LOCK_TIMEOUT_S)
        self._beat_database = DatabaseThread("beat", lock_timeout_s=1.0)
        self._notices = Notices(self._record_database)
        self._recorder = Recorder(
            self.id, self._record_database, self._notices, on_caught_up=self._note_caught_up
        )
        self._remembering = Remembering()
        self._sharing = Sharing(self._shares, self._remembering.database)
        self._processes = JobProcesses()
        self._pool = Pool(
            concurrency,
            self._processes,
            on_line=self._note_line,
            on_end=self._ended,
            on_ran=self._remembering.ran,
            is_behind=lambda: self._recorder.is_behind,
        )

    def request_stop(self) -> None:
        """First call: stop gently. Second call: hand running jobs back at once."""
        if self._stopping.is_set():
            self._pool.hand_back_all()
        self._stopping.set()

    async def run(self) -> None:
        queues = "all" if self.queues is None else ",".join(self.queues)
        logger.info(
            "action=start worker=%s slots=%s types=%s queues=%s",
            self.id,
            self._pool.size,
            ",".join(self.types),
            queues,
        )
        self._pool.open()
        await self._until_database_answers()
        gc.collect()
        gc.freeze()  # what is here stays: no collection has to look at it again
        claiming = asyncio.create_task(self._claim_forever())
        works = (
            self._listen(), self._beat(), self._notices.run(), self._remembering.run(), self._share(),
            self._recorder.run(),
        )  # fmt: skip
        others = [asyncio.create_task(work) for work in works]
        ends = [asyncio.create_task(event.wait()) for event in (self._stopping, self._pool.broken)]
        watched: set[asyncio.Task[Any]] = {claiming, *ends, *others}
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._shut_down(claiming, others)
        for end in ends:
            end.cancel()
        for task in (claiming, *others):
            if not task.cancelled() and (error := task.exception()):
                raise error
        if self._pool.broken.is_set():
            raise WorkerBroken

    async def _until_database_answers(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._beat_database.call(
                    registry.register,
                    self.id,
                    self._pool.size,
                    lock_key=self.lock_key,
                    queues=self.queues,
                    types=self.types,
                )
                return
            except DATABASE_AWAY as error:
                logger.warning("action=database_away worker=%s error=%s", self.id, str(error).strip())
                await asyncio.sleep(AWAY_S)

    async def _shut_down(self, claiming: asyncio.Task[None], others: list[asyncio.Task[None]]) -> None:
        """Claim nothing more, let jobs end, write their endings; leases are renewed until the last one is written."""
        self._stopping.set()
        logger.info(
            "action=stopping worker=%s running=%s grace_s=%s", self.id, len(self._pool.held), self.grace_s
        )
        await asyncio.wait([claiming])
        await self._pool.drain(self.grace_s)
        recording = others[-1]
        if not recording.done():
            drained = asyncio.create_task(self._recorder.drained())
            await asyncio.wait(
                [drained, recording], timeout=settings.LEASE_S, return_when=asyncio.FIRST_COMPLETED
            )
            drained.cancel()
        for task in others:
            task.cancel()
        await asyncio.wait(others)
        await self._say_goodbye()
        logger.info("action=stopped worker=%s", self.id)

    async def _say_goodbye(self) -> None:
        try:
            if self._claim_unheard:
                await self._hand_back_unheard()
            await self._notices.send()
            await self._beat_database.call(self._renew, [], "stopping")
            await self._beat_database.call(registry.mark_stopped, self.id)
            await self._remembering.write()
            await self._sharing.exchange()
        except DATABASE_AWAY:
            logger.warning("action=database_away worker=%s: not marked as stopped", self.id)
        await self._claims.close()
        await self._remembering.close()
        for database in (self._record_database, self._beat_database):
            await database.close()
        self._pool.close()
        await asyncio.to_thread(self._processes.close)

    async def _claim_forever(self) -> None:
        collisions = 0
        while not (self._stopping.is_set() or self._pool.broken.is_set()):
            self._hint.clear()
            self._pool.freed.clear()
            if self._wanted != "run":
                await self._wait_for(self._hint)
                continue
            asked = min(self._pool.room, MOST_PER_CLAIM)
            if not asked:  # full: waits for a slot
                await self._wait_for(self._pool.freed)
                continue
            claimed = await self._claim(asked)
            heads = self._claims.heads
            collisions = 0 if claimed else collisions
            if len(claimed) == asked or (heads.more and (claimed or heads.moved_on)):
                continue
            # The queue is empty (for this worker), and slots that come free change nothing; unless another
            # worker was faster for what this one had in view, or a rate lets in the next job in a moment.
            collisions = min(collisions + 1, 10) if heads.more else 0
            await self._wait_for(
                self._hint, COLLISION_S * 2 ** (collisions - 1) if collisions else self._opens_in_s
            )

    @property
    def _opens_in_s(self) -> float | None:
        """Until the next flow opens by itself."""
        at = self._claims.heads.opens_at
        return None if at is None else max(at - time.monotonic(), 0.001)

    async def _claim(self, limit: int) -> list[Claimed]:
        try:
            if self._claim_unheard:
                await self._hand_back_unheard()
            self._claim_unheard = True
            jobs = await self._claims.claim(limit)
        except DATABASE_AWAY as error:
            logger.warning("action=database_away worker=%s error=%s", self.id, str(error).strip())
            await asyncio.sleep(AWAY_S)
            return []
        self._claim_unheard = False
        self._pool.start(jobs)
        self._sharing.took(jobs)
        self._cancel_what_was_on_its_way(jobs)
        self._notices.note(job.org_id for job in jobs)
        return jobs

    def _cancel_what_was_on_its_way(self, jobs: Sequence[Claimed]) -> None:
        """A cancel request may overtake the answer of the claim."""
        if self._cancels:
            for job in jobs:
                if job.id in self._cancels:
                    self._pool.cancel(job.id)

    async def _hand_back_unheard(self) -> None:
        """The last claim failed here, but the server may have carried it out: those jobs go back."""
        moved = await self._beat_database.call(leases.hand_back_unknown, worker_id=self.id, held=self._held)
        if moved:
            logger.warning("action=handed_back worker=%s jobs=%s", self.id, [job.job_id for job in moved])

    async def _wait_for(self, event: asyncio.Event, longest_s: float | None = None) -> None:
        """Until the event, the stop or the next poll (at most `longest_s` off), whichever is first."""
        waits = [asyncio.create_task(one.wait()) for one in (event, self._stopping)]
        poll_s = min(settings.POLL_S, longest_s or settings.POLL_S)
        poll_s *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads the polls
        await asyncio.wait(waits, timeout=poll_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _listen(self) -> None:
        """Hints from NOTIFY, on a direct connection of its own. After a reconnect everything is looked at."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    settings.DATABASE_DIRECT_DSN, autocommit=True, connect_timeout=5
                ) as session:
                    for channel in (notify.JOBS_CHANNEL, notify.CANCEL_CHANNEL, notify.CONTROL_CHANNEL):
                        await session.execute(f"LISTEN {channel}")
                    self._hint.set()
                    await self._hear(session)
            except (psycopg.Error, TimeoutError) as error:
                logger.warning("action=listen_lost worker=%s error=%s", self.id, str(error).strip())
            await asyncio.sleep(AWAY_S)

    async def _hear(self, session: psycopg.AsyncConnection) -> None:
        """Until the connection is lost; a silent one is asked now and then whether it still is one."""
        is_locked = False
        while True:
            if not is_locked:
                # After a lost connection the server may take a while to see that the one before is gone.
                cursor = await session.execute("SELECT pg_try_advisory_lock(%s)", [self.lock_key])
                is_locked = (await cursor.fetchone() or [False])[0]
            async for message in session.notifies(timeout=LISTEN_CHECK_S if is_locked else AWAY_S):
                self._heed(message.channel, message.payload)
            await asyncio.wait_for(session.execute("SELECT 1"), timeout=5)

    def _heed(self, channel: str, payload: str) -> None:
        if channel == notify.JOBS_CHANNEL:
            self._hint.set()
        elif channel == notify.CANCEL_CHANNEL and payload.isdigit():
            self._cancels[int(payload)] = asyncio.get_running_loop().time()
            self._pool.cancel(int(payload))
        elif channel == notify.CONTROL_CHANNEL and payload == self.id:
            self._beat_now.set()
        elif channel == notify.CONTROL_CHANNEL and payload.startswith("{"):
            self._pool.give_back(_is_held_back_by(payload))

    async def _beat(self) -> None:
        while True:
            pause_s = settings.HEARTBEAT_S
            self._beat_now.clear()
            self._forget_cancels()
            held = self._held
            status = "stopping" if self._stopping.is_set() else "active"
            try:
                renewed = await self._beat_database.call(self._renew, held, status)
            except DATABASE_AWAY as error:
                logger.warning("action=heartbeat_missed worker=%s error=%s", self.id, str(error).strip())
                pause_s = min(AWAY_S, pause_s)
            else:
                self._compare(held, renewed.mine)
                self._obey(renewed.wanted)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._beat_now.wait(), pause_s)

    def _forget_cancels(self) -> None:
        if self._cancels:
            recent = asyncio.get_running_loop().time() - settings.HEARTBEAT_S
            self._cancels = {job_id: at for job_id, at in self._cancels.items() if at > recent}

    def _renew(self, held: list[Held], status: str) -> leases.Renewed:
        recorded = self._recorder.recorded
        renewed = leases.renew(
            worker_id=self.id,
            held=held,
            lease_s=settings.LEASE_S,
            status=status,
            processed=recorded - self._told,
        )
        self._told = recorded
        return renewed

    def _obey(self, wanted: str) -> None:
        if wanted == self._wanted:
            return
        logger.info("action=%s worker=%s", wanted, self.id)
        self._wanted = wanted
        if wanted == "drain":
            self._stopping.set()
        elif wanted == "pause":
            self._pool.give_back()
        else:
            self._hint.set()

    @property
    def _held(self) -> list[Held]:
        return [*self._pool.held, *self._recorder.held]

    def _compare(self, held: Sequence[Held], mine: dict[Held, bool]) -> None:
        if missing := [key for key in held if key not in mine]:
            running = set(self._pool.held)  # most of them have ended meanwhile
            for key in running.intersection(missing):
                self._pool.give_up(*key)
                self._sharing.lost(key)
        for key, cancel_requested in mine.items():
            if cancel_requested:
                self._pool.cancel(key[0])

    def _ended(self, attempts: Sequence[Finish]) -> None:
        self._sharing.ended(attempts)
        self._recorder.finish(attempts)

    async def _share(self) -> None:
        while True:
            await asyncio.sleep(SHARE_S)
            self._sharing.still_running(self._pool.running_s())
            await self._sharing.exchange()

    def _note_caught_up(self) -> None:
        self._pool.freed.set()

    def _note_line(self, job: Claimed, seq: int, stream: str, text: str) -> None:
        self._recorder.line(job.org_id, output.Line(job.id, job.attempt, seq, stream, text))


def _is_held_back_by(payload: str) -> Callable[[Claimed], bool]:
    """Whether the pause that `notify.paused` told of is one of this job."""
    pause = json.loads(payload)
    org, queue, type = pause["org"], pause["queue"], pause["type"]

    def held_back(job: Claimed) -> bool:
        return org in (None, job.org_id) and queue in (None, job.queue) and type in (None, job.type)

    return held_back
