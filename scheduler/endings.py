"""What is recorded of an attempt that ended: a Finish, made of its outcome and of the job's retry policy."""

from __future__ import annotations

from typing import Any, Literal

from django.conf import settings

from jobs import retries
from jobs.claims import Claimed, Ending, Finish
from jobs.executors.base import Outcome

StopReason = Literal["cancelled", "shutdown", "lost"]


def of_outcome(job: Claimed, outcome: Outcome, reason: StopReason | None) -> Finish:
    """`reason`: why the worker stopped it, if it did."""
    return of_fields(job, vars(outcome), outcome.runtime_ms, reason)


def of_fields(job: Claimed, fields: dict[str, Any], runtime_ms: float, reason: StopReason | None) -> Finish:
    """The same from the fields of an Outcome, where "released" is a status too; those missing have its defaults."""
    status: Ending = fields["status"]
    if status == "done":
        return Finish(job.id, job.attempt, status, runtime_ms, fields["result"])
    if status == "cancelled" and reason == "shutdown":
        status = "released"
    elif status == "released" and reason == "cancelled":
        status = "cancelled"
    return Finish(
        job_id=job.id,
        attempt=job.attempt,
        ending=status,
        runtime_ms=runtime_ms,
        error=fields.get("error", ""),
        retry_delay_s=None if status == "released" else _again_in_s(job, fields),
    )


def _again_in_s(job: Claimed, fields: dict[str, Any]) -> float | None:
    if not fields.get("retryable", True):
        return None
    after_s: float | None = fields.get("retry_after_s")
    if after_s is not None:  # at most a day; who named it knows better than the policy
        return after_s
    policy = retries.policy_of(
        job.type, job.retry_policy, base_s=settings.RETRY_BASE_S, cap_s=settings.RETRY_CAP_S
    )
    return retries.delay_s(policy, job.retry_count)
