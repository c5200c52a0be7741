"""When an ended attempt is tried again: pure, but for the settings."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.claims import Claimed, Finish
from jobs.executors.base import Outcome
from scheduler import endings


def finish(outcome: Outcome, *, shut_down: bool = False, **fields: Any) -> Finish:
    values: dict[str, Any] = {"type": "shell", "retry_policy": None, "retry_count": 0, **fields}
    job = Claimed(
        id=1, org_id=1, user_id=None, name="n", queue="default", payload={}, attempt=1, max_retries=3, timeout_s=60.0,
        soft_timeout_s=None, memory_mb=None, cpu_s=None, predicted_runtime_ms=None, wait_ms=0.0, **values,
    )  # fmt: skip
    return endings.of_outcome(job, outcome, "shutdown" if shut_down else None)


def test_a_snooze_is_no_failure() -> None:
    ended = finish(Outcome("snoozed", 1.0, retry_after_s=7200.0))
    assert (ended.ending, ended.retry_delay_s, ended.error) == ("snoozed", 7200.0, "")


def test_a_named_delay_is_kept_even_beyond_the_cap() -> None:
    assert finish(Outcome("failed", 1.0, retry_after_s=86_400.0), type="http").retry_delay_s == 86_400.0


def test_no_delay_where_no_retry_helps() -> None:
    assert finish(Outcome("failed", 1.0, retryable=False, retry_after_s=5.0)).retry_delay_s is None


def test_the_policy_of_the_job_decides() -> None:
    policy = {"base_s": 3, "factor": 10, "cap_s": 100, "jitter": "none"}
    delays = [
        finish(Outcome("timeout", 1.0), retry_policy=policy, retry_count=n).retry_delay_s for n in range(3)
    ]
    assert delays == [3, 30, 100]


@pytest.mark.parametrize(("shut_down", "ending"), [(True, "released"), (False, "cancelled")])
def test_what_a_stop_means(shut_down: bool, ending: str) -> None:
    assert finish(Outcome("cancelled", 1.0), shut_down=shut_down).ending == ending
