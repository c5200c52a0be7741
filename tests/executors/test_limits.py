"""Limits of running jobs, in real processes: memory, CPU time, the soft limit, a full disk, the end in time."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from tests.executors.conftest import Runner, all_gone

linux = pytest.mark.skipif(sys.platform != "linux", reason="the use of a whole job is read from /proc")

pytestmark = pytest.mark.asyncio

OVER_MEMORY = "The job used more than its memory limit of 64 MiB."
TOLD = "The soft limit of 1 seconds is reached: the job was told."
SOFT_S = 1.0


@linux
async def test_memory_over_the_limit(runner: Runner) -> None:
    outcome = await runner.call("t.take_memory", 100, 1000, memory_mb=64)
    assert (outcome.status, outcome.error, outcome.retryable) == ("failed", OVER_MEMORY, True)


@linux
async def test_memory_of_all_processes_together(runner: Runner) -> None:
    keep = f"{sys.executable} -c 'import time; kept = bytearray(40 << 20); time.sleep(1000)'"
    outcome = await runner.shell(f"setsid {keep} & setsid {keep} & wait", memory_mb=64)
    assert (outcome.status, outcome.error) == ("failed", OVER_MEMORY)


async def test_memory_that_grows_faster_than_the_guard_looks(runner: Runner) -> None:
    outcome = await runner.call("t.take_memory_at_once", 4096, memory_mb=64)
    assert (outcome.status, outcome.error) == ("failed", OVER_MEMORY)
    assert "in take_memory_at_once" in runner.text("stderr")


async def test_memory_within_the_limit(runner: Runner) -> None:
    assert (await runner.call("t.take_memory", 40, 0.5, memory_mb=128)).result == 40


@pytest.mark.skipif(os.geteuid() != 0, reason="what forks share cannot be read from a hidden process")
async def test_memory_that_forks_share_counts_once(runner: Runner) -> None:
    assert (await runner.call("t.share_memory", 50, 4, memory_mb=128)).status == "done"


async def test_a_heavy_type_fits_into_a_small_limit(runner: Runner) -> None:
    train = {"dataset": "iris", "target": "target", "estimator": "LogisticRegression"}
    assert (await runner.run("ml", train, memory_mb=256)).status == "done"
    query = {"sql": "SELECT sum(i) FROM range(3000000) r(i)", "inputs": {"t": {"rows": [{"a": 1}]}}}
    assert (await runner.run("etl", query, memory_mb=256)).status == "done"


@linux
@pytest.mark.parametrize("function", ["t.burn", "t.burn_in_turns"])
async def test_cpu_time_over_the_limit(runner: Runner, function: str) -> None:
    outcome = await runner.call(function, cpu_s=0.5)
    assert (outcome.status, outcome.retryable) == ("failed", True)
    assert outcome.error == "The job used more than its limit of 0.5 seconds of CPU time."


@linux
async def test_cpu_time_of_all_processes_together(runner: Runner) -> None:
    """No single one of them comes near its own limit."""
    outcome = await runner.call("t.burn", 5, cpu_s=1.5)
    assert "CPU time" in outcome.error


@linux
async def test_the_kernel_limits_each_process_somewhat_above(runner: Runner) -> None:
    outcome = await runner.shell("ulimit -t; ulimit -Ht; ulimit -d", cpu_s=2.5, memory_mb=64)
    assert outcome.status == "done"
    soft, hard, data_kib = runner.text().split("\n")
    assert (soft, hard) == ("4", "unlimited")
    assert 64 * 1024 < int(data_kib) < 1024 * 1024
    await runner.shell("ulimit -t; ulimit -d")
    assert runner.text() == "unlimited\nunlimited"


async def test_a_function_is_told_and_returns(runner: Runner) -> None:
    outcome = await runner.call("t.clean_up", soft_timeout_s=SOFT_S)
    assert (outcome.status, outcome.result) == ("done", "cleaned up")
    assert runner.lines == [("system", TOLD)]


async def test_a_function_is_told_and_ends(runner: Runner) -> None:
    outcome = await runner.call("t.log_and_go_on", soft_timeout_s=SOFT_S)
    assert (outcome.status, outcome.retryable) == ("timeout", True)
    assert outcome.error == "The job ran longer than its soft limit of 1 seconds."
    assert "in log_and_go_on" in runner.text("stderr")


async def test_a_coroutine_function_is_told(runner: Runner) -> None:
    outcome = await runner.call("sleep", 1000, soft_timeout_s=SOFT_S)
    assert (outcome.status, "soft limit" in outcome.error) == ("timeout", True)


async def test_a_function_is_told_in_vain(runner: Runner) -> None:
    outcome = await runner.call("t.do_not_listen", soft_timeout_s=SOFT_S, timeout_s=SOFT_S + 0.3)
    assert (outcome.status, outcome.error) == ("timeout", "The job ran longer than its limit of 1.3 seconds.")
    assert ("system", TOLD) in runner.lines


async def test_a_function_is_told_before_it_starts(runner: Runner) -> None:
    assert (await runner.call("t.clean_up", soft_timeout_s=1e-6)).status in ("done", "timeout")


async def test_a_function_that_ends_in_time_is_not_told(runner: Runner) -> None:
    assert (await runner.call("add", 1, 2, soft_timeout_s=20)).result == 3
    assert runner.lines == []


async def test_a_command_is_told_and_ends_well(runner: Runner) -> None:
    outcome = await runner.shell(
        "trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done", soft_timeout_s=SOFT_S
    )
    assert outcome.result == {"exit_code": 0}
    assert runner.lines[:1] == [("system", TOLD)]
    assert runner.text() == "bye"


async def test_a_command_is_told_and_ends(runner: Runner) -> None:
    outcome = await runner.shell("sleep 1000", soft_timeout_s=SOFT_S)
    assert (outcome.status, outcome.retryable) == ("timeout", True)
    assert "soft limit of 1 seconds. The command was killed by SIGTERM." in outcome.error


async def test_an_executor_is_told(runner: Runner) -> None:
    query = {
        "sql": "SELECT count(*) FROM range(99999999) a, range(9999) b",
        "inputs": {"t": {"rows": [{"a": 1}]}},
    }
    outcome = await runner.run("etl", query, soft_timeout_s=SOFT_S)
    assert (outcome.status, "soft limit of 1 seconds" in outcome.error) == ("timeout", True)


async def test_a_stop_after_the_soft_limit(runner: Runner) -> None:
    job = asyncio.create_task(runner.call("t.do_not_listen", soft_timeout_s=SOFT_S))
    while not runner.lines:
        await asyncio.sleep(0.01)
    runner.stop.set()
    assert (await job).status == "cancelled"


async def test_snooze(runner: Runner) -> None:
    outcome = await runner.call("t.snooze", 90)
    assert (outcome.status, outcome.retry_after_s, outcome.error) == ("snoozed", 90.0, "")
    refused = await runner.call("t.snooze", 86_401)
    assert (refused.status, "from 0 to 86400 seconds" in refused.error) == ("failed", True)


@linux
async def test_a_stop_ends_what_does_not_listen_in_any_session(runner: Runner) -> None:
    job = asyncio.create_task(runner.call("t.spread"))
    async with asyncio.timeout(10):
        while len(runner.lines) < 4:
            await asyncio.sleep(0.01)
    runner.stop.set()
    assert (await job).status == "cancelled"
    all_gone(*(int(text) for _, text in runner.lines))


@linux
async def test_a_full_disk_is_the_jobs_own_error(runner: Runner) -> None:
    outcome = await runner.call("t.fill_the_disk")
    assert (outcome.status, outcome.retryable) == ("failed", True)
    assert outcome.error == "OSError: [Errno 28] No space left on device"
    outcome = await runner.shell("echo x > /dev/full")
    assert (outcome.status, outcome.retryable) == ("failed", True)
    assert (await runner.call("noop")).status == "done"
