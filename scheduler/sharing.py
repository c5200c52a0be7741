"""What a worker charges organisations for its work, and hears of what others charge, once a second.

Charged is the prediction when a job is claimed, what it takes beyond that while it runs, and the rest (or the excess
back) when it ends, however it ends. Only `exchange` touches the database; the places themselves are `jobs.fairness`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from django.conf import settings

from jobs import shares
from jobs.claims import Claimed, Finish, Held
from jobs.database import lost_the_session
from jobs.fairness import Shares, charge_s
from scheduler.database_thread import DatabaseThread

logger = logging.getLogger(__name__)


class Sharing:
    """Notes charges in `places` at once, and tells the other workers.

    What was certainly not told is told the next time; what may have been is not told twice.
    """

    def __init__(self, places: Shares, database: DatabaseThread) -> None:
        self._places = places
        self._database = database
        self._charged: dict[Held, tuple[int, float]] = {}  # of attempts that have not ended: org, seconds
        self._untold: dict[int, float] = {}
        self._totals: dict[int, float] = {}  # of all workers, as last heard
        self._ahead: set[int] = set()  # as last told
        self._exchanging: asyncio.Task[None] | None = None
        self._clock = asyncio.get_running_loop().time

    def took(self, jobs: Iterable[Claimed]) -> None:
        """These were claimed; `jobs.heads` has moved their organisations' places already."""
        for job in jobs:
            seconds = charge_s(job.predicted_runtime_ms)
            self._charged[job.id, job.attempt] = job.org_id, seconds
            self._note(job.org_id, seconds)

    def still_running(self, running_s: Iterable[tuple[Held, float]]) -> None:
        """How long attempts have run by now: those that were thought shorter are charged for it."""
        for held, seconds in running_s:
            org, charged = self._charged.get(held, (0, seconds))
            if seconds > charged:
                self._charge(org, seconds - charged)
                self._charged[held] = org, seconds

    def ended(self, attempts: Iterable[Finish]) -> None:
        """These have ended, or were given back before they began."""
        for finish in attempts:
            org, charged = self._charged.pop((finish.job_id, finish.attempt), (0, None))
            if charged is not None:
                self._charge(org, finish.runtime_ms / 1000.0 - charged)

    def lost(self, held: Held) -> None:
        """Its lease ran out: what was charged stays, for nobody will say how it ended."""
        self._charged.pop(held, None)

    async def exchange(self) -> None:
        """Tell what was charged since the last time, and take in what others charged. Never raises.

        One that is cancelled goes on by itself, for its statement may be on its way; the next one waits for it.
        """
        if self._exchanging is not None:
            await asyncio.wait([self._exchanging])
        self._exchanging = asyncio.create_task(self._exchange())
        await asyncio.shield(self._exchanging)

    async def _exchange(self) -> None:
        self._places.decay(self._clock())
        told, self._untold = self._untold, {}
        leads = self._places.leads()
        ahead = {org for org, lead in leads.items() if lead > 0}
        caught_up = self._ahead - ahead
        try:
            totals = await self._database.call(
                shares.exchange, told, leads, settings.SHARE_HALF_LIFE_S, caught_up
            )
        except Exception as error:
            logger.warning("action=shares_not_exchanged error=%s", type(error).__name__)
            self._not_heard(told, error)
            return
        self._ahead = ahead
        self._take_in({org: totals.get(org, 0.0) for org in (told.keys() | leads.keys())}, told)

    def _not_heard(self, told: dict[int, float], error: Exception) -> None:
        """Where only the answer may be lost, a total cannot be compared with the last: what is in it is unknown."""
        if lost_the_session(error):
            self._totals = {}
        else:
            for org, seconds in told.items():
                self._note(org, seconds)

    def _take_in(self, totals: dict[int, float], told: dict[int, float]) -> None:
        """What was charged before an organisation was first heard of is the past: it changes no place."""
        for org, total in totals.items():
            others = total - self._totals.get(org, total - told.get(org, 0.0)) - told.get(org, 0.0)
            self._totals[org] = total
            if others:
                self._places.charge(org, others)
        if len(self._totals) > 2 * len(totals) + 1000:
            self._totals = dict(totals)

    def _charge(self, org: int, seconds: float) -> None:
        if seconds:
            self._places.charge(org, seconds)
            self._note(org, seconds)

    def _note(self, org: int, seconds: float) -> None:
        self._untold[org] = self._untold.get(org, 0.0) + seconds
