"""Every scenario of `python -m bench.chaos`, in seconds: after each, what was submitted has ended, once.

The arena is shared: a fault is over, and everything runs again, when its test ends. Rates and times to
recover are the bench's business.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bench.chaos import ledger
from bench.chaos.arena import Arena
from bench.chaos.course import QUICK, TINY, Scale
from bench.chaos.processes import wait_for
from bench.chaos.scenarios import SCENARIOS
from bench.goals import Goal

IN_SECONDS = (
    "crash",
    "postgres",
    "backends",
    "slots",
    "pause",
    "clock",
    "leader-kill",
    "leader-stop",
    "cut",
)
LONGER = ("kills", "busy", "freeze", "disk")  # a full disk is met by chance in seconds


def after(fault: Callable[[Arena, Scale], list[Goal]], arena: Arena, scale: Scale) -> list[Goal]:
    """Break something and wait until all that was submitted by the end of it has ended."""
    goals = fault(arena, scale)
    submitted = list(ledger.acknowledged(arena.keys_file))
    wait_for(lambda: not unfinished(arena, submitted), "what was submitted ends", 60, 0.1)
    arena.wait_until_working()
    return goals


def unfinished(arena: Arena, keys: list[str]) -> int:
    known = arena.number(
        "SELECT count(*) FROM jobs_job WHERE finished_at IS NOT NULL AND idempotency_key = ANY(%s)", keys
    )
    return len(keys) - int(known)


def assert_nothing_is_lost_or_recorded_twice(name: str, arena: Arena, scale: Scale) -> None:
    robbed_before = ledger.read(arena.server, arena.keys_file).robbed
    goals = after(SCENARIOS[name].fault, arena, scale)
    book = ledger.read(arena.server, arena.keys_file)
    assert arena.ended == []
    assert book.twice == []
    assert book.wrong == []
    assert not SCENARIOS[name].spared or book.robbed == robbed_before
    assert ledger.broken_constraints(arena.server) == []
    assert [str(goal) for goal in goals if goal.at_least and not goal.met] == [], "the fault hit nothing"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", IN_SECONDS)
def test_nothing_is_lost_or_recorded_twice(name: str, arena: Arena) -> None:
    assert_nothing_is_lost_or_recorded_twice(name, arena, TINY)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", LONGER)
def test_nothing_is_lost_or_recorded_twice_in_longer_faults(name: str, arena: Arena) -> None:
    assert_nothing_is_lost_or_recorded_twice(name, arena, QUICK)


def test_every_scenario_has_a_short_form() -> None:
    assert {*IN_SECONDS, *LONGER} == set(SCENARIOS)
