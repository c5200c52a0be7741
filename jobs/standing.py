"""Where a waiting job stands, as far as it is known: pauses, workers, limits and shares around it. Pure, no Django.

Read by `jobs.explaining`, put into words by `jobs.reasons`. A `Place` is what the claim calls a flow: jobs of one
organisation that are alike for pauses, workers and limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

ORG, QUEUE, KEY, EVERY_KEY = (
    "org",
    "queue",
    "key",
    "*",
)  # as in jobs.limit_models, which is none of the pure modules
KEY_RUNNING = 1

Scope = tuple[str, str]  # scope and name of a limit


class Place(NamedTuple):
    """`key`: of concurrency; empty without one."""

    queue: str
    type: str
    key: str = ""

    @property
    def scopes(self) -> list[Scope]:
        """Those of the limits that count for it, the widest first."""
        scopes = [(ORG, ""), (QUEUE, self.queue)]
        return [*scopes, (KEY, self.key)] if self.key else scopes


@dataclass(frozen=True, slots=True)
class Held:
    """A pause. `queue` and `type`: None stands for any. `scope`, `by` and `why` are words; `by` may be empty."""

    id: int
    queue: str | None
    type: str | None
    scope: str
    since: datetime
    by: str = ""
    why: str = ""
    by_platform: bool = False

    def covers(self, place: Place) -> bool:
        return self.queue in (None, place.queue) and self.type in (None, place.type)


@dataclass(frozen=True, slots=True)
class Hand:
    """A live worker. `queues`: None for all. `takes`: it is neither paused nor about to end."""

    types: frozenset[str]
    queues: frozenset[str] | None
    slots: int
    running: int
    takes: bool = True

    @property
    def busy(self) -> int:
        """Slots that are taken; what it holds in reserve has none."""
        return min(self.running, self.slots)

    def serves(self, place: Place) -> bool:
        return place.type in self.types and (self.queues is None or place.queue in self.queues)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a limit says; None: nothing."""

    max_running: int | None = None
    rate_count: int | None = None
    rate_period_s: float | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """What a limit's counter says. `tokens` at `tokens_at`; None: as many as there may be."""

    running: int = 0
    tokens: float | None = None
    tokens_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """A limit that counts for a place, and its counter, at `now`."""

    scope: str
    name: str
    rule: Rule
    count: Count
    now: datetime

    @property
    def full(self) -> bool:
        return self.rule.max_running is not None and self.count.running >= self.rule.max_running

    @property
    def opens_at(self) -> datetime | None:
        """When the rate lets the next job begin; None where it does now."""
        count, period_s = self.rule.rate_count, self.rule.rate_period_s
        if count is None or period_s is None or self.count.tokens is None:
            return None
        since = max((self.now - (self.count.tokens_at or self.now)).total_seconds(), 0.0)
        tokens = min(float(count), self.count.tokens + since * count / period_s)
        return None if tokens >= 1 - 1e-9 else self.now + timedelta(seconds=(1 - tokens) * period_s / count)


@dataclass(frozen=True, slots=True)
class Around:
    """What is around the jobs of one organisation. `rules` and `counts` by scope and name."""

    now: datetime
    pauses: Sequence[Held] = ()
    workers: Sequence[Hand] = ()
    rules: Mapping[Scope, Rule] = field(default_factory=dict)
    counts: Mapping[Scope, Count] = field(default_factory=dict)

    def pauses_of(self, place: Place) -> list[Held]:
        return [pause for pause in self.pauses if pause.covers(place)]

    def workers_of(self, place: Place) -> list[Hand]:
        return [worker for worker in self.workers if worker.takes and worker.serves(place)]

    def doors_of(self, place: Place) -> list[Door]:
        """The limits that count for it, the widest first."""
        return [door for scope in place.scopes if (door := self._door(scope))]

    def stops(self, place: Place) -> frozenset[Scope]:
        """Names for all that keeps jobs of this place from beginning at this moment, whatever their rank."""
        names = [("pause", str(pause.id)) for pause in self.pauses_of(place)]
        names += [(door.scope, door.name) for door in self.doors_of(place) if door.full or door.opens_at]
        return frozenset(names)

    def in_the_way(self, others: Iterable[Place], mine: Place) -> list[bool]:
        """Whether jobs there go before one here that ranks behind them: they need a worker that it needs as well, and
        wait for nothing that it does not wait for too."""
        workers, stops = self.workers_of(mine), self.stops(mine)
        return [
            (other == mine or any(worker.serves(other) for worker in workers)) and self.stops(other) <= stops
            for other in others
        ]

    def _door(self, scope: Scope) -> Door | None:
        rule = self.rules.get(scope)
        if rule is None and scope[0] == KEY:
            rule = self.rules.get((KEY, EVERY_KEY), Rule(max_running=KEY_RUNNING))
        return Door(*scope, rule, self.counts.get(scope, Count()), self.now) if rule else None


@dataclass(frozen=True, slots=True)
class ShareOf:
    """What an organisation has received, in worker-seconds: `received_s` lately, `lead_s` ahead of its turn.

    `others`: organisations besides it that have jobs queued; `others_capped`: counting stopped there.
    """

    received_s: float
    weight: float
    lead_s: float
    others: int
    others_capped: bool = False

    @property
    def used(self) -> bool:
        return self.lead_s >= 0.001 and self.others > 0


@dataclass(frozen=True, slots=True)
class Position:
    """How many queued jobs of its organisation rank before a job: `in_the_way`, and `held_back`, which wait for
    something else. Capped: counting stopped there."""

    queue: str
    lane: str
    in_the_way: int = 0
    in_the_way_capped: bool = False
    held_back: int = 0
    held_back_capped: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A job, and where it stands. `whose`: "your" or "its" organisation, as its reader says.

    `position` and `share` are None unless it is queued.
    """

    place: Place
    status: str
    whose: str
    around: Around
    attempt: int
    attempts: int
    run_at: datetime
    retry: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    predicted_ms: float | None = None
    cancel_requested: bool = False
    worker: str = ""
    position: Position | None = None
    share: ShareOf | None = None
