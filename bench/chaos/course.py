"""The course of every scenario: steady load, rate before, the fault, recovery, rate after, the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bench.chaos import ledger, rates
from bench.chaos.arena import Arena
from bench.chaos.processes import wait_for
from bench.goals import Goal

SETTLE_S = 180.0


@dataclass(frozen=True)
class Scale:
    """How long things take: `of` picks by form; seconds of a window of rates, and of waiting for recovery."""

    form: Literal["tiny", "quick", "long"]
    window_s: float
    patience_s: float

    def of(self, tiny: int, quick: int, long: int) -> int:
        return {"tiny": tiny, "quick": quick, "long": long}[self.form]


TINY = Scale("tiny", window_s=2, patience_s=60)
QUICK = Scale("quick", window_s=10, patience_s=60)
LONG = Scale("long", window_s=20, patience_s=180)


@dataclass(frozen=True)
class Scenario:
    """`fault` breaks something, mends it and returns."""

    name: str
    what: str
    fault: Callable[[Arena, Scale], list[Goal]]
    spared: bool = False  # whether nobody may lose a job in it


@dataclass(frozen=True)
class Result:
    """One row of the table."""

    scenario: Scenario
    book: ledger.Ledger
    broken: list[str]
    ended: list[str]
    before: float
    after: float
    recovered_s: float | None
    fault_s: float
    goals: list[Goal]

    @property
    def all_goals(self) -> list[Goal]:
        name = self.scenario.name
        always = [
            Goal(f"{name}: jobs lost", len(self.book.lost), 0),
            Goal(f"{name}: results recorded twice", len(self.book.twice), 0),
            Goal(f"{name}: jobs with a wrong end or history", len(self.book.wrong), 0),
            Goal(f"{name}: broken constraints", len(self.broken), 0),
            Goal(f"{name}: processes that ended by themselves", len(self.ended), 0),
            Goal(f"{name}: rate after / before", self.after / self.before, rates.ENOUGH, at_least=True),
        ]
        spared = [Goal(f"{name}: robbed jobs", len(self.book.robbed), 0)] if self.scenario.spared else []
        return always + spared + self.goals

    @property
    def evidence(self) -> list[str]:
        """The violations themselves, a few of each."""
        robbed = self.book.robbed if self.scenario.spared else []
        found = (self.book.lost, self.book.twice, self.book.wrong, self.broken, self.ended, robbed)
        return [line for lines in found for line in lines[:5]]


def run(scenario: Scenario, scale: Scale, rate: float) -> Result:
    with Arena(rate=rate) as arena:
        time.sleep(2)
        wait_for(lambda: _keeps_up(arena), "the workers keep up with the load", scale.patience_s, 0.2)
        began = time.time()
        time.sleep(scale.window_s)
        fault_begins = time.time()
        goals = scenario.fault(arena, scale)
        fault_over = time.time()
        before = rates.per_second(_ends(arena), began, scale.window_s)
        _await_recovery(arena, fault_over, before, scale)
        after_from = time.time()
        time.sleep(scale.window_s)
        return _conclude(scenario, arena, scale, (began, fault_begins, fault_over, after_from), goals)


def _await_recovery(arena: Arena, fault_over: float, before: float, scale: Scale) -> None:
    """Until jobs end as fast as before and no more wait than a second's worth, or patience ends."""
    deadline = time.monotonic() + scale.patience_s
    while time.monotonic() < deadline:
        time.sleep(0.5)
        fast = _recovered(_ends(arena), fault_over, time.time(), before, scale)
        if fast is not None and _keeps_up(arena):
            return


def _keeps_up(arena: Arena) -> bool:
    """Nothing has piled up: the few unfinished jobs run, or wait for their retry."""
    return ledger.unfinished(arena.server) <= 3 * arena.rate


def _conclude(
    scenario: Scenario,
    arena: Arena,
    scale: Scale,
    times: tuple[float, float, float, float],
    goals: list[Goal],
) -> Result:
    began, fault_begins, fault_over, after_from = times
    over, ended = time.time(), arena.ended
    arena.stop_load()
    settle(arena)
    ends = _ends(arena)
    before = rates.per_second(ends, began, scale.window_s)
    return Result(
        scenario=scenario,
        book=ledger.read(arena.server, arena.keys_file),
        broken=ledger.broken_constraints(arena.server),
        ended=ended,
        before=before,
        after=rates.per_second(ends, after_from, scale.window_s),
        recovered_s=_recovered(ends, fault_over, over, before, scale),
        fault_s=fault_over - fault_begins,
        goals=goals,
    )


def settle(arena: Arena) -> None:
    """Until every job has ended; what has not after SETTLE_S the ledger calls lost."""
    try:
        wait_for(lambda: ledger.unfinished(arena.server) == 0, "all jobs end", SETTLE_S, 0.2)
    except TimeoutError as error:
        print(f"chaos: {error}")


def _recovered(
    ends: list[float], fault_over: float, until: float, before: float, scale: Scale
) -> float | None:
    return rates.recovered_after(
        ends, fault_over=fault_over, until=until, before=before, window_s=scale.window_s / 2
    )


def _ends(arena: Arena) -> list[float]:
    rows = arena.ask(
        "SELECT extract(epoch FROM finished_at)::float8 FROM jobs_job WHERE finished_at IS NOT NULL ORDER BY 1"
    )
    return [end for (end,) in rows]
