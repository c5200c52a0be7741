"""Kept processes that do not start, or end before they are of use."""

from __future__ import annotations

import gc
import os
import resource
import signal
from pathlib import Path

import pytest

from jobs import functions
from jobs.executors import kept_jobs
from jobs.executors.process import JobProcesses
from tests.executors.kept_calling import Caller, Job

pytestmark = pytest.mark.asyncio


async def test_a_process_that_dies_idle_is_replaced_when_there_is_work(caller: Caller) -> None:
    before = await caller.result("light.pid")
    os.kill(before, signal.SIGKILL)
    await caller.until(lambda: not caller.kept._all)
    assert await caller.result("light.pid") != before


async def test_a_process_that_always_dies_before_it_begins_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ready it is each time; with the first call it is gone."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "dies_when_ready.py").write_text(
        "import os, sys, threading\nfrom jobs.executors import kept\n"
        "kept.Server._read = lambda self: os._exit(7)\n"
    )
    monkeypatch.setattr(functions, "_loaded", [*functions.loaded(), "dies_when_ready"])
    with JobProcesses() as processes:
        caller = Caller(processes)
        jobs = [Job("noop"), Job("noop")]
        await caller.run(*jobs)
        assert ([job.status for job in jobs], len(caller.broken)) == (["released"] * 2, 1)
        caller.kept.close()


async def test_a_process_that_hangs_in_its_imports_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "hangs.py").write_text("import threading\nthreading.Event().wait()\n")
    monkeypatch.setattr(functions, "_loaded", [*functions.loaded(), "hangs"])
    monkeypatch.setattr(kept_jobs, "_START_LIMIT_S", 0.2)
    with JobProcesses() as processes:
        caller = Caller(processes)
        job = Job("noop")
        await caller.run(job)
        assert job.status == "released"
        await caller.until(lambda: not caller.kept._all)


async def test_without_room_for_a_process_jobs_are_put_off_and_nothing_leaks(caller: Caller) -> None:
    os.kill(await caller.result("light.pid"), signal.SIGKILL)
    await caller.until(lambda: not caller.kept._all)
    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for left in range(6):  # each step of a start fails once
        job = Job("noop")
        resource.setrlimit(resource.RLIMIT_NOFILE, (_lowest_limit(left), hard))
        try:
            caller.kept.start([job])
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if job.status is None:
            break
        assert (job.status, caller.broken) == ("snoozed", [])
        gc.collect()
        assert set(os.listdir("/proc/self/fd")) == before
    assert left > 2
    await caller.until(lambda: job.outcomes)
    assert job.status == "done"


async def test_modules_that_cannot_be_loaded_there_fail_their_jobs_only(
    caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "only_in_the_worker.py").write_text(
        "import os\nfrom jobs.functions import register\nos.environ['DATABASE_URL']\n"
        "@register('light.needs_more', isolated=False)\ndef needs_more(): pass\n"
    )
    functions.load(["only_in_the_worker"])
    with JobProcesses() as processes:
        other = Caller(processes)
        job = Job("light.needs_more")
        await other.run(job, Job("noop"))
        assert "only_in_the_worker" in job.outcome["error"]
        other.kept.close()
        await other.until(lambda: not other.kept._all)


def _lowest_limit(left: int) -> int:
    """The limit on descriptors with which `left` more can be opened."""
    taken = {int(name) for name in os.listdir("/proc/self/fd")}
    limit = 0
    while left >= 0:
        left -= limit not in taken
        limit += 1
    return limit - 1
