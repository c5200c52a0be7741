"""One game: the queue played forward with given runtimes, to see which job starts when. Pure: no Django, no clock.

Model. Workers are groups of slots that take the same flows. Whenever a slot is free, the organisation whose turn it is
(`jobs.fairness`, the code of the claims) gives the best ranked job of its open flows; limits close flows, and open
them as jobs end and tokens come back. Jobs that will be submitted meanwhile, and may go first, are drawn from those
that came lately, at the rate at which they came. A game ends where a flow runs out of the jobs that were read of it:
behind that nothing is known. Played many times by `jobs.simulation`.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from jobs.fairness import Shares
from jobs.spread import Runtime

MOST_STARTS = 200
MOST_ARRIVALS = 200
DECAYS = 8  # steps in which leads shrink, per half-life
NO_JOB = 2**62  # ids from here on are of jobs that nobody has submitted yet

Key = tuple[float, int]  # rank, job


class Waiting(NamedTuple):
    """A job to come: `due_s` seconds from now it may start."""

    id: int
    flow: int
    rank: float
    runtime: Runtime
    charge_s: float
    due_s: float = 0.0


class Running(NamedTuple):
    """A job that runs, in a slot of `group`; None: in one that takes no other job after it."""

    id: int
    org: int
    group: int | None
    ran_s: float
    runtime: Runtime
    charge_s: float
    gates: tuple[Hashable, ...] = ()


class Arrival(NamedTuple):
    """A job that came lately, as one to come. `rank`: what it would have if it came now."""

    flow: int
    rank: float
    runtime: Runtime
    charge_s: float


class Flow(NamedTuple):
    """Jobs that are alike to the claim. `groups`: whose workers take them; `more`: not all of its jobs were read."""

    org: int
    groups: tuple[int, ...]
    gates: tuple[Hashable, ...] = ()
    more: bool = False


class Gate(NamedTuple):
    """A limit and its counters: at most `most` jobs at once; each takes a token, of which `per_s` come back."""

    running: int = 0
    most: int | None = None
    tokens: float = math.inf
    per_s: float = math.inf
    burst: float = math.inf


@dataclass(frozen=True)
class Queue:
    """All that a game begins with. `slots` by group, busy ones included; `orgs`: weight and lead in seconds.

    `per_s`: how many jobs like one of the `arrivals` come in a second.
    """

    slots: Sequence[int]
    flows: Mapping[int, Flow]
    waiting: Sequence[Waiting]
    running: Sequence[Running] = ()
    gates: Mapping[Hashable, Gate] = field(default_factory=dict)
    orgs: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    half_life_s: float = math.inf
    arrivals: Sequence[Arrival] = ()
    per_s: float = 0.0


class _Count:
    """A gate during a game: what runs, the tokens that are left, and which flows wait at it, by who takes them."""

    __slots__ = ("at", "called", "gate", "running", "tokens", "waiting")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.running = gate.running
        self.tokens = gate.tokens
        self.at = 0.0
        self.called = False  # an event will look at it when its token is back
        self.waiting: dict[tuple[int, ...], list[tuple[Key, int]]] = {}

    def opens_at(self, now: float) -> float:
        """`now` if a job may start, later if a token must come back first, never if one must end first."""
        gate = self.gate
        if gate.most is not None and self.running >= gate.most:
            return math.inf
        if self.tokens >= 1.0:
            return now
        self.tokens = min(self.tokens + (now - self.at) * gate.per_s, gate.burst)
        self.at = now
        return now if self.tokens >= 1.0 - 1e-9 else now + (1.0 - self.tokens) / gate.per_s

    def enter(self, now: float) -> None:
        self.running += 1
        if self.gate.per_s != math.inf:
            self.tokens = min(self.tokens + (now - self.at) * self.gate.per_s, self.gate.burst) - 1.0
            self.at = now


class Game:
    """The queue once, with given runtimes. `play` answers when which job starts.

    A flow stands in the line of its organisation, or waits at the gate that closed it, or is empty. Lines and turns are
    heaps whose entries may be out of date: whatever changes adds an entry, and an old one is dropped when it is met.
    """

    def __init__(
        self, queue: Queue, runtimes: Mapping[int, float], dice: random.Random | None = None
    ) -> None:
        self._queue = queue
        self._runtimes = dict(runtimes)
        self._dice = dice
        self._left = MOST_STARTS
        self._to_come = MOST_ARRIVALS if queue.arrivals and dice else 0
        self._now = 0.0
        self._over = False
        self._starts: dict[int, float] = {}
        self._free = list(queue.slots)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._noted = 0
        self._gates = {name: _Count(gate) for name, gate in queue.gates.items()}
        self._charges = {job.id: job.charge_s for job in queue.waiting}
        self._jobs: dict[int, list[Key]] = {flow: [] for flow in queue.flows}
        self._in_line: set[int] = set()
        self._lines: dict[int, dict[tuple[int, ...], list[tuple[Key, int]]]] = {}
        self._open: dict[int, int] = {}  # how many flows stand in line, by organisation
        self._turns: list[list[tuple[float, Key, int]]] = [[] for _ in queue.slots]
        self._shares = Shares(queue.half_life_s)
        self._decay_s = queue.half_life_s / DECAYS
        self._decays_at = self._decay_s
        self._begin()

    def play(self) -> dict[int, float]:
        """Seconds from now at which jobs start, in the order of their starts."""
        self._hand_out()
        events, count = self._events, len(self._queue.waiting)
        while events and not self._over and self._left > 0 and len(self._starts) < count:
            self._now = events[0][0]
            while events and events[0][0] <= self._now:
                heapq.heappop(events)[2]()
            if self._now >= self._decays_at:
                self._decay()
            self._hand_out()
        return self._starts

    def _begin(self) -> None:
        for org, (weight, _) in self._queue.orgs.items():
            self._shares.begin(org, weight)
        for org, (weight, lead) in self._queue.orgs.items():
            if lead:
                self._shares.charge(org, lead * weight)
        for job in self._queue.waiting:
            if job.due_s <= 0:
                self._jobs[job.flow].append((job.rank, job.id))
            else:
                self._at(job.due_s, partial(self._arrive, job))
        for flow, jobs in self._jobs.items():
            heapq.heapify(jobs)
            if jobs:
                self._join(flow)
        for org in self._queue.orgs:
            if not self._open.get(org):
                self._shares.end(org)
        self._begin_running()
        self._expect()

    def _begin_running(self) -> None:
        """Jobs beyond the slots were claimed ahead: they begin as slots of their group become free."""
        ends: dict[int, list[float]] = {}
        for job in sorted(self._queue.running, key=lambda job: -job.ran_s):
            left = self._runtimes[job.id]
            if job.group is not None:
                self._free[job.group] -= 1
                busy = ends.setdefault(job.group, [])
                if self._free[job.group] < 0 and busy:
                    left += heapq.heappop(busy)
                heapq.heappush(busy, left)
            rest = left - max(job.charge_s - job.ran_s, 0.0)
            self._at(left, partial(self._end, job.org, job.group, job.gates, rest))

    def _at(self, time: float, what: Callable[[], None]) -> None:
        self._noted += 1
        heapq.heappush(self._events, (time, self._noted, what))

    def _arrive(self, job: Waiting) -> None:
        jobs = self._jobs[job.flow]
        key = (job.rank, job.id)
        heapq.heappush(jobs, key)
        if len(jobs) == 1 or (jobs[0] == key and job.flow in self._in_line):
            self._join(job.flow)

    def _expect(self) -> None:
        """The next job that somebody submits."""
        if self._dice is not None and self._to_come and self._queue.per_s > 0:
            self._to_come -= 1
            self._at(self._now + self._dice.expovariate(self._queue.per_s), self._submitted)

    def _submitted(self) -> None:
        assert self._dice is not None
        flow, rank, runtime, charge_s = self._dice.choice(self._queue.arrivals)
        job = NO_JOB + self._noted
        self._runtimes[job] = runtime.at(self._dice.gauss(0.0, 1.0))
        self._charges[job] = charge_s
        self._arrive(Waiting(job, flow, rank + self._now, runtime, charge_s))
        self._expect()

    def _end(self, org: int, group: int | None, gates: Sequence[Hashable], uncharged_s: float) -> None:
        if group is not None:
            self._free[group] += 1
        for name in gates:
            if (gate := self._gates.get(name)) is not None:
                gate.running -= 1
                self._let_in(gate)
        self._shares.charge(org, uncharged_s)
        if self._open.get(org):
            self._offer(org)

    def _hand_out(self) -> None:
        for group, turns in enumerate(self._turns):
            while turns and self._free[group] > 0 and not self._over:
                found = self._next(group)
                if found is None:
                    break
                self._start(*found, group)

    def _next(self, group: int) -> tuple[Key, int] | None:
        """The job whose turn it is for a slot of this group, and its flow."""
        turns, place_of = self._turns[group], self._shares.place
        while turns:
            place, _, org = turns[0]
            if place == place_of(org):
                lines = self._lines[org].items()
                found = [best for takers, line in lines if group in takers and (best := self._first(line))]
                if found:
                    return min(found)
            heapq.heappop(turns)
        return None

    def _first(self, line: list[tuple[Key, int]]) -> tuple[Key, int] | None:
        """The best of the open flows in this line; those that are closed leave it for their gates."""
        while line:
            key, flow = line[0]
            jobs = self._jobs[flow]
            if flow in self._in_line and jobs and jobs[0] == key:
                gate = self._closed_by(flow)
                if gate is None:
                    return line[0]
                heapq.heappop(line)
                self._wait_at(gate, flow)
            else:
                heapq.heappop(line)
        return None

    def _closed_by(self, flow: int) -> Hashable | None:
        for name in self._queue.flows[flow].gates:
            if self._gates[name].opens_at(self._now) > self._now:
                return name
        return None

    def _start(self, key: Key, flow_id: int, group: int) -> None:
        flow, job = self._queue.flows[flow_id], key[1]
        jobs = self._jobs[flow_id]
        heapq.heappop(jobs)
        self._left -= 1
        if job < NO_JOB:
            self._starts[job] = self._now
        self._free[group] -= 1
        runtime, charge = self._runtimes[job], self._charges[job]
        self._shares.take(flow.org, charge)
        self._at(self._now + runtime, lambda: self._end(flow.org, group, flow.gates, runtime - charge))
        for name in flow.gates:
            self._gates[name].enter(self._now)
        if jobs:
            heapq.heappush(self._lines[flow.org][flow.groups], (jobs[0], flow_id))
        else:
            self._leave(flow_id)
            self._over = flow.more
        self._offer(flow.org)
        for name in flow.gates:
            self._let_in(self._gates[name])

    def _join(self, flow_id: int) -> None:
        """The flow has jobs and stands in line, by the rank of its first one."""
        flow = self._queue.flows[flow_id]
        line = self._lines.setdefault(flow.org, {}).setdefault(flow.groups, [])
        heapq.heappush(line, (self._jobs[flow_id][0], flow_id))
        if flow_id not in self._in_line:
            self._in_line.add(flow_id)
            self._open[flow.org] = self._open.get(flow.org, 0) + 1
            self._shares.begin(flow.org, self._queue.orgs.get(flow.org, (1.0, 0.0))[0])
        self._offer(flow.org)

    def _leave(self, flow_id: int) -> None:
        """An organisation without open flows takes no part, as in jobs.heads."""
        org = self._queue.flows[flow_id].org
        self._in_line.discard(flow_id)
        self._open[org] -= 1
        if not self._open[org]:
            self._shares.end(org)

    def _offer(self, org: int) -> None:
        place = self._shares.place(org)
        for takers, line in self._lines.get(org, {}).items():
            if line:
                for group in takers:
                    heapq.heappush(self._turns[group], (place, line[0][0], org))

    def _wait_at(self, name: Hashable, flow_id: int) -> None:
        flow, gate = self._queue.flows[flow_id], self._gates[name]
        self._leave(flow_id)
        heapq.heappush(gate.waiting.setdefault(flow.groups, []), (self._jobs[flow_id][0], flow_id))
        self._call(gate, gate.opens_at(self._now))
        for other in flow.gates:
            if other != name:
                self._let_in(self._gates[other])

    def _let_in(self, gate: _Count) -> None:
        """One flow of each kind comes back from a gate that is open; when its job has started, the next one does."""
        if not gate.waiting:
            return
        opens_at = gate.opens_at(self._now)
        if opens_at > self._now:
            self._call(gate, opens_at)
            return
        for takers, waiting in list(gate.waiting.items()):
            self._join(heapq.heappop(waiting)[1])
            if not waiting:
                del gate.waiting[takers]

    def _call(self, gate: _Count, opens_at: float) -> None:
        if opens_at < math.inf and not gate.called:
            gate.called = True
            self._at(opens_at, partial(self._called, gate))

    def _called(self, gate: _Count) -> None:
        gate.called = False
        self._let_in(gate)

    def _decay(self) -> None:
        self._shares.decay(self._now)
        self._decays_at = self._now + self._decay_s
        for org, count in self._open.items():
            if count:
                self._offer(org)
