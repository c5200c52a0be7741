"""What the statements of `jobs.claims` and `jobs.leases` take and answer.

Named tuples where there is one per job: they cost a fifth of what a frozen dataclass costs.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    """A row that took an edge. `reopened`: with it, a limit lets in jobs that a claim was turned away for."""

    job_id: int
    org_id: int
    status: str
    reopened: bool = False


@dataclass(frozen=True, slots=True)
class Renewed:
    """`mine`: {(job id, attempt): cancel requested} of what is still the worker's; `wanted`: run, pause or drain."""

    mine: dict[Held, bool]
    wanted: str
