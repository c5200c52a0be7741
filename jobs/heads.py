"""What one worker remembers of the queue, and which flows its next claim looks at. Pure: no Django, no clock.

Model. The worker knows, as of one snapshot, every flow that has work: where its live part begins (its floor), and
whether it is open or was closed by a pause or a limit. Each claim looks at a handful of flows, chosen here: those of
the organisations whose turn it is, the best ranks first. What it brings back (flows that had arrivals, gates that
opened since the snapshot) keeps the rest true, so a claim costs the same however many organisations wait.

Nothing is missed: a job that is not in the snapshot was queued by a transaction that the snapshot did not see ended,
and those are looked up by their number; gates that open are found the same way. To begin at the floor keeps the cost
flat also under a transaction that holds back vacuum, when the entries of claimed jobs stay in the index for good. It
holds for one history of one server: after a lost connection, behind which a standby may have been promoted or a backup
restored, it must be forgotten, at the cost of one look at all flows.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from jobs.fairness import Shares, charge_s

MOST_FLOWS = 64
FEW_FLOWS = 8
FEW_EACH = 4  # of one organisation, where several take turns
MOST_OTHERS = 200
MOST_ROWS = 2000  # of all flows that one claim looks at
MOST_LEADS = 100
MOST_STALE = 64
LEAST_ASIDE_S, MOST_ASIDE_S = 0.002, 0.032
OPEN, LIMITED, PAUSED, CLOSED, BUSY = "open", "limited", "paused", "closed", "busy"
ORG, QUEUE, FLOW = "org", "queue", "flow"
EVERYTHING = 0


class Choice(NamedTuple):
    """What a claim looks at. `others`: flows that are known and left out; None: only these are looked at.

    `plain`: one organisation alone has work, the first of `orgs`, and nothing is known to limit it.
    """

    flows: list[int]
    floors: list[float]
    others: list[int] | None
    orgs: list[int]
    places: list[float]
    limit: int
    quota: int  # jobs of one flow that are worth looking at
    room: int  # for so many flows that are new
    plain: bool


class Seen(NamedTuple):
    """A flow with work, as a claim or a look found it.

    What closes it closes all of its organisation or queue with it, as `closes` says. BUSY: somebody else holds the jobs
    or the counters that it would take.
    """

    flow_id: int
    org_id: int
    queue: str
    weight: float
    floor: float
    state: str = OPEN
    closed_by: int | None = None  # gate; None: a pause
    closes: str = FLOW
    opens_in_s: float | None = None  # None: when the gate says so


@dataclass(slots=True)
class _Flow:
    org_id: int
    queue: str
    floor: float
    limited: bool = False
    closed_by: int | None = None
    busy: int = 0  # times in a row


@dataclass(slots=True)
class _Line:
    """The open flows of one queue. Floors in the heap that are no longer true are dropped when they are met."""

    floors: dict[int, float] = field(default_factory=dict)
    heap: list[tuple[float, int]] = field(default_factory=list)

    def put(self, flow_id: int, floor: float) -> None:
        if self.floors.get(flow_id) != floor:
            self.floors[flow_id] = floor
            heapq.heappush(self.heap, (floor, flow_id))
            if len(self.heap) > 2 * len(self.floors) + MOST_STALE:
                self.heap = [(floor, flow_id) for flow_id, floor in self.floors.items()]
                heapq.heapify(self.heap)

    def first(self, most: int) -> list[tuple[float, int]]:
        found: dict[tuple[float, int], None] = {}
        while self.heap and len(found) < most:
            entry = heapq.heappop(self.heap)
            if self.floors.get(entry[1]) == entry[0]:
                found[entry] = None
        for entry in found:
            heapq.heappush(self.heap, entry)
        return list(found)


@dataclass(slots=True)
class _Lines:
    """The lines of one organisation by queue, and which of them, or whether all, are closed."""

    weight: float
    open: dict[str, _Line] = field(default_factory=dict)
    closed: dict[str, _Line] = field(default_factory=dict)
    is_closed: bool = False
    flows: int = 0  # that are open, as of the last `reckon`
    best_rank: float = math.inf  # of them, or lower, by what is left of floors that have risen

    def line(self, queue: str) -> _Line:
        return self.closed.get(queue) or self.open.setdefault(queue, _Line())

    def reopen(self, queue: str) -> None:
        self.is_closed = False
        if queue in self.closed:
            self.open[queue] = self.closed.pop(queue)

    def reckon(self) -> int:
        """By how many the open flows have become more."""
        lines = () if self.is_closed else self.open.values()
        before, self.flows = self.flows, sum(len(line.floors) for line in lines)
        self.best_rank = min((line.heap[0][0] for line in lines if line.floors), default=math.inf)
        return self.flows - before

    def first(self, most: int) -> list[tuple[float, int]]:
        return heapq.nsmallest(most, (entry for line in self.open.values() for entry in line.first(most)))


class Heads:
    """The memory of one worker. A new object, or a forgotten one, costs one look at every flow with work."""

    def __init__(self, shares: Shares | None = None) -> None:
        self.shares = shares or Shares(math.inf)
        self.forget()

    def forget(self) -> None:
        """Know nothing of the queue; what organisations have received stays."""
        self.xmax: int | None = None
        self.unfinished: list[int] = []
        self.more = False  # the last claim left flows out that may have jobs for this worker
        self.moved_on = False  # and it found something out, so that the next one looks at others
        self._flows: dict[int, _Flow] = {}
        self._orgs: dict[int, _Lines] = {}
        self._at_work: dict[int, _Lines] = {}  # those with open flows
        self._open_flows = 0
        self._closed: dict[int, set[int]] = {}  # single flows, by the gate that closed them
        self._shut: dict[int, set[tuple[int, str | None]]] = {}  # organisations and queues of them, by gate
        self._opening: list[
            tuple[float, int, int]
        ] = []  # what opens by itself: when, which flow, or which gate

    @property
    def flows(self) -> frozenset[int]:
        """Those that are known to have work."""
        return frozenset(self._flows)

    @property
    def opens_at(self) -> float | None:
        """When the next flow opens by itself, if one does."""
        return self._opening[0][0] if self._opening else None

    def look_at_all(self, flows: Iterable[Seen], snapshot: str) -> None:
        """The answer to a look at all flows."""
        self.forget()
        for seen in flows:
            self._know(seen)
        for org in self.shares.leads():
            if org not in self._orgs:
                self.shares.end(org)
        self._note(snapshot)

    def choose(self, limit: int, now: float) -> Choice:
        """The flows for a claim of `limit` jobs at `now`, in seconds of a clock that only goes forward."""
        self._open_due(now)
        most = min(max(limit, FEW_FLOWS), MOST_FLOWS)
        orgs = self.shares.turns(self._at_work, most, lambda org: self._at_work[org].best_rank)
        each = max(most // max(len(orgs), 1), FEW_EACH)
        chosen: list[tuple[float, int]] = []
        for org in orgs:
            chosen += self._at_work[org].first(min(each, most - len(chosen)))
            if len(chosen) >= most:
                break
        flows = [flow_id for _, flow_id in chosen]
        others = self._others(flows)
        accounts = dict.fromkeys(orgs if others is None else self._at_work) | dict.fromkeys(self._ahead())
        return Choice(
            flows=flows,
            floors=[floor for floor, _ in chosen],
            others=others,
            orgs=list(accounts),
            places=[self.shares.place(org) for org in accounts],
            limit=limit,
            quota=min(limit, max(MOST_ROWS // max(len(flows), 1), 1)),
            room=most,
            plain=len(self._at_work) == 1 and not any(self._flows[flow_id].limited for flow_id in flows),
        )

    def remember(
        self,
        choice: Choice,
        *,
        looked_at: Sequence[Seen],
        arrived: Sequence[Seen],
        opened: Iterable[int],
        took: int,
        snapshot: str,
        now: float,
    ) -> None:
        """The answer to a claim that got `took` jobs.

        What is open under a limit may be closed by what was taken: the next claim says so, and for how long.
        """
        before = self._open_flows
        gone = set(choice.flows) - {seen.flow_id for seen in looked_at}
        for flow_id in gone:
            self._drop(flow_id)
        for seen in looked_at:
            self._update(seen, now)
        for seen in arrived:
            self._lower(seen)
        reopened = [gate for gate in opened if self._open_gate(gate)]
        self._note(snapshot)
        open_now = [seen for seen in looked_at if seen.state in (OPEN, LIMITED)]
        not_plain = choice.plain and any(
            seen.state == LIMITED or seen.org_id != choice.orgs[0] for seen in looked_at
        )
        cut = took > 0 and (choice.quota < choice.limit or any(seen.state == LIMITED for seen in open_now))
        # What is held had its part of the claim, which the others may have now.
        left = took < choice.limit and bool(open_now) and any(seen.state == BUSY for seen in looked_at)
        unseen = self._open_flows > len(open_now)
        self.more = unseen or cut or left or not_plain or bool(reopened)
        self.moved_on = bool(gone or arrived or reopened or not_plain) or len(open_now) < len(looked_at)
        self.moved_on = self.moved_on or self._open_flows != before

    def took(self, jobs: Iterable[tuple[int, float | None]]) -> None:
        """These were claimed: organisation and predicted milliseconds of each, in the order of the claim."""
        seconds: dict[int, list[float]] = {}
        for org, predicted_ms in jobs:
            seconds.setdefault(org, []).append(charge_s(predicted_ms))
        for org, of_org in seconds.items():
            self.shares.take(org, *of_org)

    def _note(self, snapshot: str) -> None:
        _, xmax, unfinished = snapshot.split(":")
        self.xmax = int(xmax)
        self.unfinished = [int(xid) for xid in unfinished.split(",") if xid]

    def _ahead(self) -> list[int]:
        """Organisations without open flows that are ahead of the present: their arrivals must not jump the queue."""
        return [org for _, org in heapq.nlargest(MOST_LEADS, self.shares.idle_ahead())]

    def _others(self, chosen: Sequence[int]) -> list[int] | None:
        if len(self._flows) - len(chosen) > MOST_OTHERS:
            return None
        return list(self._flows.keys() - set(chosen))

    def _know(self, seen: Seen, now: float = 0.0) -> None:
        """A flow that was not known."""
        self._flows[seen.flow_id] = _Flow(seen.org_id, seen.queue, seen.floor)
        self._orgs.setdefault(seen.org_id, _Lines(seen.weight))
        self._settle(seen, now)

    def _update(self, seen: Seen, now: float) -> None:
        """A flow that a claim has looked at."""
        flow = self._flows.get(seen.flow_id)
        if flow is None:
            self._know(seen, now)
        else:
            flow.floor = seen.floor
            self._settle(seen, now)

    def _settle(self, seen: Seen, now: float) -> None:
        """Put the flow where it belongs by what was seen of it."""
        flow, lines = self._flows[seen.flow_id], self._orgs[seen.org_id]
        lines.weight = seen.weight
        flow.limited = seen.state != OPEN
        flow.busy = flow.busy + 1 if seen.state == BUSY else 0
        if seen.state in (OPEN, LIMITED):
            lines.reopen(flow.queue)
            self._line_up(seen.flow_id)
        elif seen.state == BUSY:
            # It keeps its turn: it is a matter of moments.
            lines.line(flow.queue).floors.pop(seen.flow_id, None)
            aside_s = min(LEAST_ASIDE_S * 2 ** (flow.busy - 1), MOST_ASIDE_S)
            heapq.heappush(self._opening, (now + aside_s, seen.flow_id, 0))
            self._review(seen.org_id, keeps_turn=True)
        elif seen.closes == FLOW:
            self._close(seen, now)
        else:
            self._line_up(seen.flow_id)
            self._shut_all(seen, now)

    def _lower(self, seen: Seen) -> None:
        """There are arrivals in a flow that this claim did not look at."""
        flow = self._flows.get(seen.flow_id)
        if flow is None:
            self._know(seen)
        elif seen.floor < flow.floor:
            flow.floor = seen.floor
            line = self._orgs[flow.org_id].line(flow.queue)
            if seen.flow_id in line.floors:
                line.put(seen.flow_id, seen.floor)
                self._review(flow.org_id)

    def _line_up(self, flow_id: int) -> None:
        """Nothing closes the flow itself."""
        flow = self._flows[flow_id]
        self._forget_closed(flow_id, flow)
        self._orgs[flow.org_id].line(flow.queue).put(flow_id, flow.floor)
        self._review(flow.org_id)

    def _close(self, seen: Seen, now: float) -> None:
        flow = self._flows[seen.flow_id]
        self._forget_closed(seen.flow_id, flow)
        self._orgs[seen.org_id].line(flow.queue).floors.pop(seen.flow_id, None)
        flow.closed_by = EVERYTHING if seen.closed_by is None else seen.closed_by
        self._closed.setdefault(flow.closed_by, set()).add(seen.flow_id)
        if seen.opens_in_s is not None:
            heapq.heappush(self._opening, (now + seen.opens_in_s, seen.flow_id, 0))
        self._review(seen.org_id)

    def _shut_all(self, seen: Seen, now: float) -> None:
        """The organisation, or the queue, is closed with all its flows, in one step however many there are."""
        lines = self._orgs[seen.org_id]
        queue = seen.queue if seen.closes == QUEUE else None
        if queue is None:
            lines.is_closed = True
        elif queue in lines.open:
            lines.closed[queue] = lines.open.pop(queue)
        gate = EVERYTHING if seen.closed_by is None else seen.closed_by
        self._shut.setdefault(gate, set()).add((seen.org_id, queue))
        if seen.opens_in_s is not None:
            heapq.heappush(self._opening, (now + seen.opens_in_s, 0, gate))
        self._review(seen.org_id)

    def _drop(self, flow_id: int) -> None:
        """The flow has no work any more."""
        flow = self._flows.pop(flow_id, None)
        if flow is not None:
            self._forget_closed(flow_id, flow)
            self._orgs[flow.org_id].line(flow.queue).floors.pop(flow_id, None)
            self._review(flow.org_id)

    def _review(self, org: int, *, keeps_turn: bool = False) -> None:
        """An organisation without open flows takes no part: it gathers no credit while it may not run."""
        lines = self._orgs[org]
        self._open_flows += lines.reckon()
        if lines.flows:
            self._at_work[org] = lines
            self.shares.begin(org, lines.weight)
        else:
            self._at_work.pop(org, None)
            if not keeps_turn:
                self.shares.end(org)

    def _open_due(self, now: float) -> None:
        while self._opening and self._opening[0][0] <= now:
            _, flow_id, gate = heapq.heappop(self._opening)
            if gate:
                self._open_gate(gate)
            elif flow_id in self._flows:
                self._line_up(flow_id)

    def _open_gate(self, gate: int) -> bool:
        """Whether it had closed anything."""
        gates = list(self._closed.keys() | self._shut.keys()) if gate == EVERYTHING else [gate]
        found = False
        for one in gates:
            for org, queue in self._shut.pop(one, set()):
                found = True
                self._open_line(org, queue)
            for flow_id in self._closed.pop(one, set()):
                found = True
                self._flows[flow_id].closed_by = None
                self._line_up(flow_id)
        return found

    def _open_line(self, org: int, queue: str | None) -> None:
        lines = self._orgs[org]
        if queue is None:
            lines.is_closed = False
        elif queue in lines.closed:
            lines.open[queue] = lines.closed.pop(queue)
        self._review(org)

    def _forget_closed(self, flow_id: int, flow: _Flow) -> None:
        if flow.closed_by is not None:
            self._closed.get(flow.closed_by, set()).discard(flow_id)
            flow.closed_by = None
