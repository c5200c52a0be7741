"""What the leader does, one duty per file, and the list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scheduler.duties import housekeeping, release_due, rescue_lost, sample_queue


@dataclass(frozen=True)
class Duty:
    """`run(actor)` is called about every `every_s` seconds inside the leader's term; it answers the rows it changed."""

    name: str
    every_s: float
    run: Callable[[str], int]


DUTIES = (
    Duty("release_due", 0.5, release_due.run),
    Duty("rescue_lost", 1.0, rescue_lost.run),
    Duty("sample_queue", 5.0, sample_queue.run),
    Duty("housekeeping", 60.0, housekeeping.run),
)
