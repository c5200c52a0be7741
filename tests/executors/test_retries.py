"""Backoff: pure numbers."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import retries
from jobs.retries import RetryPolicy, delay_s, policy_of
from jobs.submission import JobType

numbers = st.floats(0, 86_400)
policies = st.builds(RetryPolicy, numbers, st.floats(1, 100), numbers, st.sampled_from(["full", "none"]))


def default(type: str, wanted: dict[str, Any] | None = None) -> RetryPolicy:
    return policy_of(type, wanted, base_s=2, cap_s=600)


@given(policies, st.integers(0, 100_000))
def test_a_delay_is_within_its_bounds(policy: RetryPolicy, retry_count: int) -> None:
    assert 0 <= delay_s(policy, retry_count) <= min(policy.cap_s, retries.MAX_DELAY_S)


def test_growth_up_to_the_cap() -> None:
    plain = RetryPolicy(base_s=1, factor=3, cap_s=10, jitter="none")
    assert [delay_s(plain, count) for count in range(4)] == [1, 3, 9, 10]
    jittered = RetryPolicy(base_s=1, factor=3, cap_s=10)
    share = random.Random(1).random()
    delays = [delay_s(jittered, count, random.Random(1)) for count in range(4)]
    assert delays == pytest.approx([share, 3 * share, 9 * share, 10 * share])


def test_each_type_has_its_own_pace() -> None:
    first = {type: default(type).base_s for type in JobType.__args__}
    assert first["http"] < first["shell"] == first["python"] < first["etl"] < first["ml"]
    assert default("shell") == RetryPolicy(base_s=2, factor=2, cap_s=600, jitter="full")
    assert policy_of("ml", None, base_s=3600, cap_s=86_400).cap_s == retries.MAX_DELAY_S


def test_a_job_decides_the_parts_that_it_names() -> None:
    assert default("ml", {}) == default("ml")
    assert default("shell", {"base_s": 7, "jitter": "none"}) == RetryPolicy(7, 2, 600, "none")
    assert default("http", {"factor": 1, "cap_s": 5, "jitter": False}) == RetryPolicy(1, 1, 5, "none")


@pytest.mark.parametrize("wrong", ["soon", None, True, -1, float("nan"), 1e300, []])
@pytest.mark.parametrize("field", ["base_s", "cap_s", "factor", "jitter", "other"])
def test_what_makes_no_sense_is_left_out(field: str, wrong: Any) -> None:
    assert default("shell", {field: wrong}) == default("shell")
