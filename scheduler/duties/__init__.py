"""What the leader does, one duty per file, and the list of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scheduler.duties import (
    forget_openings,
    housekeeping,
    refresh_head,
    release_due,
    remove_orgs,
    replay,
    sample_queue,
)
from scheduler.duties.batches import BATCH
from scheduler.duties.estimate import Estimate
from scheduler.duties.learn import learn
from scheduler.duties.reclaim_expired import ReclaimExpired
from scheduler.duties.repair_gates import RepairGates
from scheduler.duties.rescue_lost import RescueLost
from scheduler.duties.retention import Retention
from scheduler.duties.watch_snapshots import SnapshotWatch

__all__ = ["BATCH", "Duty", "duties_of_a_term"]


@dataclass(frozen=True)
class Duty:
    """`run(actor)` is called about every `every_s` seconds inside the leader's term; it answers the rows it changed.

    A run is one transaction, and a standby waits for it: it changes about BATCH rows at most. Whoever
    changed that many is called again at once.
    """

    name: str
    every_s: float
    run: Callable[[str], int]


def duties_of_a_term() -> tuple[Duty, ...]:
    """All duties; what some of them remember begins with the term."""
    return (
        Duty("release_due", 0.5, release_due.run),
        Duty("rescue_lost", 1.0, RescueLost().run),
        Duty("reclaim_expired", 1.0, ReclaimExpired().run),
        Duty("replay", 0.5, replay.run),
        Duty("repair_gates", 15.0, RepairGates().run),
        Duty("forget_openings", 15.0, forget_openings.run),
        Duty("estimate", 2.0, Estimate().run),
        Duty("refresh_head", 5.0, refresh_head.run),
        Duty("sample_queue", 5.0, sample_queue.run),
        Duty("watch_snapshots", 5.0, SnapshotWatch().run),
        Duty("learn", 5.0, learn.run),
        Duty("housekeeping", 60.0, housekeeping.run),
        Duty("retention", 30.0, Retention().run),
        Duty("remove_orgs", 30.0, remove_orgs.run),
    )
