"""Light functions in a real kept process: what they return and write, and what becomes of the others when one dies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.executors.conftest import KEPT_SECRETS, all_gone, is_running
from tests.executors.kept_calling import Caller, Job

pytestmark = pytest.mark.asyncio


async def test_all_run_in_one_process_that_is_none_of_ours(caller: Caller) -> None:
    pids = {await caller.result("light.pid") for _ in range(3)}
    assert len(pids) == 1
    assert os.getpid() not in pids


async def test_a_batch_ends_in_order_and_each_job_once(caller: Caller) -> None:
    jobs = [Job("echo", [number]) for number in range(200)]  # few enough to begin before they are given back
    await caller.run(*jobs)
    assert [job.outcome["result"]["args"] for job in jobs] == [[number] for number in range(200)]


@pytest.mark.parametrize(("what", "expected"), [("text", "text"), ("false", False), ("zero", 0)])
async def test_results(caller: Caller, what: str, expected: Any) -> None:
    assert await caller.result("light.give", what) == expected
    assert await caller.result("noop") is None


@pytest.mark.parametrize("what", ["nan", "nul", "set"])
async def test_a_result_that_cannot_be_stored_fails_for_good(caller: Caller, what: str) -> None:
    job = Job("light.give", [what])
    await caller.run(job)
    assert (job.status, job.outcome["retryable"]) == ("failed", False)
    assert "cannot be stored" in job.outcome["error"]


async def test_errors_mean_what_they_mean_in_a_process_of_their_own(caller: Caller) -> None:
    jobs = {how: Job("light.fail", [how]) for how in ("job", "permanent", "snooze", "exit", "bug")}
    jobs["unknown"], jobs["arguments"] = Job("light.no_such"), Job("add", [1])
    await caller.run(*jobs.values())
    assert (jobs["job"].outcome["retryable"], jobs["job"].outcome["retry_after_s"]) == (True, 7.0)
    assert jobs["permanent"].outcome["retryable"] is False
    assert (jobs["snooze"].status, jobs["snooze"].outcome["retry_after_s"]) == ("snoozed", 5.0)
    assert jobs["exit"].outcome["error"].startswith("SystemExit")
    assert jobs["bug"].outcome["retryable"] is True
    assert "a bug" in jobs["bug"].text  # the traceback is the job's output
    assert jobs["unknown"].outcome["retryable"] is False
    assert jobs["arguments"].outcome["error"].startswith("add(a, b) cannot be called like this")
    assert jobs["arguments"].outcome["retryable"] is False


async def test_output_is_told_apart(caller: Caller) -> None:
    tasks = [Job("light.take_turns", [name, 3]) for name in "ab"]
    plain = Job("light.say", ["plain\n"])
    await caller.run(*tasks, plain)
    for name, job in zip("ab", tasks, strict=True):
        assert job.text.split() == [
            word for turn in range(3) for word in f"{name} {turn} {name} {turn} in a thread".split()
        ]
    assert plain.text == "plain\n"


async def test_a_flood_of_output_is_cut_in_the_process_that_makes_it(caller: Caller) -> None:
    job = Job("light.say", ["x" * 3_000_000])
    await caller.run(job)
    assert 1_000_000 < len(job.text) < 1_200_000


async def test_no_secrets(caller: Caller) -> None:
    assert await caller.result("light.environment", "PATH", *KEPT_SECRETS) == ["PATH"]


async def test_a_function_can_ask_which_job_it_runs_for(caller: Caller) -> None:
    assert await caller.result("light.about") == [1, 1, "idem-1"]


async def test_coroutines_run_side_by_side(caller: Caller) -> None:
    """One after another, they would take four times as long as they may."""
    jobs = [Job("light.wait", [0.6], timeout_s=1.5) for _ in range(4)]
    await caller.run(*jobs, Job("noop"))
    assert {job.status for job in jobs} == {"done"}


async def test_a_coroutine_can_limit_itself(caller: Caller) -> None:
    assert await caller.result("light.limit_itself") == "timed out inside"


async def test_a_coroutine_over_its_time_is_cancelled_alone(caller: Caller) -> None:
    before = await caller.result("light.pid")
    late, other = Job("light.wait", [60], timeout_s=0.2), Job("light.wait", [0.5])
    await caller.run(late, other)
    assert (late.status, other.status) == ("timeout", "done")
    assert await caller.result("light.pid") == before


async def test_a_plain_function_over_its_time_costs_the_process_its_life(caller: Caller) -> None:
    before = await caller.result("light.pid")
    stuck, behind = Job("light.block", [60], timeout_s=0.2), Job("noop")
    await caller.run(stuck, behind)
    assert (stuck.status, behind.status) == ("timeout", "done")
    assert await caller.result("light.pid") != before
    all_gone(before)


async def test_a_coroutine_that_does_not_end_is_killed_and_the_others_are_not_charged(
    caller: Caller, tmp_path: Path
) -> None:
    stubborn, other = Job("light.refuse_to_end", [str(tmp_path / "pid")]), Job("light.wait", [60])
    caller.kept.start([stubborn, other])
    pid = await caller.begun(tmp_path / "pid")
    caller.kept.stop(lambda job: job is stubborn)
    await caller.until(lambda: stubborn.outcomes and other.outcomes)
    assert (stubborn.status, other.status) == ("cancelled", "released")
    all_gone(pid)


async def test_a_plain_function_over_its_time_costs_a_coroutine_beside_it_nothing(
    caller: Caller, tmp_path: Path
) -> None:
    beside = Job("light.wait", [60, str(tmp_path / "pid")])
    caller.kept.start([beside])
    await caller.begun(tmp_path / "pid")
    stuck = Job("light.block", [60], timeout_s=0.2)
    await caller.run(stuck)
    await caller.until(lambda: beside.outcomes)
    assert (stuck.status, beside.status) == ("timeout", "released")


async def test_who_closes_its_socket_is_killed(caller: Caller, tmp_path: Path) -> None:
    job = Job("light.hang_up", [str(tmp_path / "pid")])
    caller.kept.start([job])
    pid = await caller.begun(tmp_path / "pid")
    await caller.until(lambda: job.outcomes)
    assert job.status == "crashed"
    all_gone(pid)


async def test_an_answer_that_comes_twice_ends_the_process_and_no_job_twice(caller: Caller) -> None:
    before = await caller.result("light.pid")
    forged = Job("light.forge", ['{"ended": [[2, 1.0, 0], [2, 1.0, 0]], "text": []}'])
    await caller.run(forged)
    await caller.until(lambda: not is_running(before))
    assert (len(forged.outcomes), caller.kept.count) == (1, 0)


async def test_what_a_cancelled_coroutine_returns_counts_for_nothing(caller: Caller) -> None:
    late = Job("light.swallow_cancel", timeout_s=0.2)
    await caller.run(late)
    assert late.status == "timeout"


async def test_cancel_of_a_coroutine_of_a_plain_function_and_of_one_that_waits(
    caller: Caller, tmp_path: Path
) -> None:
    task = Job("light.wait", [60, str(tmp_path / "task")])
    caller.kept.start([task])
    await caller.begun(tmp_path / "task")
    caller.kept.stop(lambda job: job is task)
    await caller.until(lambda: task.outcomes)
    plain, behind = Job("light.block", [60, str(tmp_path / "plain")]), Job("noop")
    caller.kept.start([plain, behind])
    pid = await caller.begun(tmp_path / "plain")
    caller.kept.stop(lambda job: True)
    await caller.until(lambda: plain.outcomes and behind.outcomes)
    assert (task.status, plain.status, behind.status) == ("cancelled", "cancelled", "cancelled")
    all_gone(pid)


@pytest.mark.parametrize("how", ["light.leave", "light.segfault"])
async def test_who_kills_the_process_is_charged_and_who_had_not_begun_is_not(
    caller: Caller, how: str, tmp_path: Path
) -> None:
    middle = Job("light.wait", [60, str(tmp_path / "pid")])
    caller.kept.start([middle])
    await caller.begun(tmp_path / "pid")
    poison, behind = Job(how), [Job("echo", [number]) for number in range(100)]
    await caller.run(poison, *behind)
    assert poison.status == "crashed"
    assert ("exit code 3" in poison.outcome["error"]) == (how == "light.leave")
    assert (middle.status, "another job" in middle.outcome["error"]) == ("crashed", True)
    assert {job.status for job in behind} == {"done"}


async def test_what_had_ended_before_a_crash_is_never_charged(caller: Caller) -> None:
    before = [Job("noop") for _ in range(300)]
    await caller.run(*before[:10])  # so that it is known to be fast, and its endings may wait to be sent
    await caller.run(*before[10:], Job("light.leave"))
    assert {job.status for job in before} <= {"done", "released"}


async def test_a_message_that_is_none_ends_the_process(caller: Caller) -> None:
    before = await caller.result("light.pid")
    forged = Job("light.forge", ['{"ended": [[1, 2, 3, 4]], "text": "x"}'])
    await caller.run(forged)
    await caller.until(lambda: not is_running(before))
    assert await caller.result("noop") is None


async def test_calls_behind_a_blocked_process_are_released_and_the_next_find_a_new_one(
    caller: Caller,
) -> None:
    before = await caller.result("light.pid")
    blocked, behind = Job("light.block", [1.5]), [Job("noop") for _ in range(20)]
    caller.kept.start([blocked, *behind])
    await caller.until(lambda: all(job.outcomes for job in behind))
    assert {job.status for job in behind} == {"released"}
    assert blocked.status is None
    assert await caller.result("light.pid") != before
    await caller.until(lambda: blocked.outcomes)
    assert blocked.outcome["result"] == "blocked"
    all_gone(before)


async def test_take_back_releases_what_waits_for_a_slot(caller: Caller, tmp_path: Path) -> None:
    running = [Job("light.wait", [1.0, str(tmp_path / str(number))]) for number in range(4)]
    waiting = [Job("light.wait", [1.0]) for _ in range(4)]
    caller.kept.start([*running, *waiting])
    await caller.begun(tmp_path / "3")
    caller.kept.take_back()
    await caller.until(lambda: all(job.outcomes for job in [*running, *waiting]))
    assert [job.status for job in running] == ["done"] * 4
    assert [job.status for job in waiting] == ["released"] * 4


async def test_what_is_paused_is_taken_back_and_the_rest_stays(caller: Caller, tmp_path: Path) -> None:
    # Well under half a second, after which what has not begun is taken back, and the process given up.
    running = [Job("light.wait", [0.25, str(tmp_path / str(number))]) for number in range(4)]
    paused, other = Job("light.wait", [0.0]), Job("light.wait", [0.0])
    caller.kept.start([*running, paused, other])
    pid = await caller.begun(tmp_path / "3")
    caller.kept.take_back(lambda job: job in (running[0], paused))
    await caller.until(lambda: paused.outcomes)
    assert (paused.status, other.status) == ("released", None)
    await caller.until(lambda: all(job.outcomes for job in [*running, other]))
    assert {job.status for job in [*running, other]} == {"done"}
    assert await caller.result("light.pid") == pid
