"""What the statements of `jobs.claims` take and answer, and what a worker remembers between two claims.

Named tuples where there is one per job: they cost a fifth of what a frozen dataclass costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Held = tuple[int, int]  # job id, attempt
Ending = Literal["done", "failed", "timeout", "cancelled", "crashed", "released", "snoozed"]


class Claimed(NamedTuple):
    """A job as its worker gets it. `attempt` must be shown again to renew or finish it."""

    id: int
    org_id: int
    user_id: int | None
    name: str
    type: str
    queue: str
    payload: Any
    attempt: int
    retry_count: int
    max_retries: int
    timeout_s: float
    soft_timeout_s: float | None
    memory_mb: int | None
    cpu_s: float | None
    retry_policy: dict[str, Any] | None
    predicted_runtime_ms: float | None
    wait_ms: float


class Finish(NamedTuple):
    """How an attempt ended. `retry_delay_s` None: retrying cannot mend it.

    `released` (handed back) and `snoozed` (again after `retry_delay_s`) cost the job no retry.
    """

    job_id: int
    attempt: int
    ending: Ending
    runtime_ms: float = 0.0
    result: Any = None
    error: str = ""
    retry_delay_s: float | None = None


class Moved(NamedTuple):
    """A row that took an edge."""

    job_id: int
    org_id: int
    status: str


@dataclass(frozen=True, slots=True)
class Renewed:
    """`mine`: {(job id, attempt): cancel requested} of what is still the worker's; `wanted`: run, pause or drain."""

    mine: dict[Held, bool]
    wanted: str


@dataclass(slots=True)
class Heads:
    """What one worker remembers of the queue: where the live part of each flow begins, as of a snapshot.

    Under a transaction that holds back vacuum, the entries of claimed jobs stay in the index for good; to
    begin behind them keeps the claim's cost flat. Nothing is missed: a job that is not in the snapshot was
    queued by a transaction that the snapshot did not see ended, and those are looked up by their number.
    It holds for one history of one server: after a lost connection, behind which a standby may have been
    promoted or a backup restored, it must be forgotten. A new object costs one look at every flow.
    """

    floors: dict[int, float] = field(default_factory=dict)
    xmax: int | None = None
    unfinished: list[int] = field(default_factory=list)
    more: bool = False  # the last claim left flows out, or met jobs that others held at that moment

    def remember(self, flows: Sequence[int], floors: Sequence[float], more: bool, snapshot: str) -> None:
        _, xmax, unfinished = snapshot.split(":")
        self.floors = dict(zip(flows, floors, strict=True))
        self.more = more
        self.xmax = int(xmax)
        self.unfinished = [int(xid) for xid in unfinished.split(",") if xid]
