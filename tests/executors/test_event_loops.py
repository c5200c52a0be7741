from __future__ import annotations

import asyncio

import uvloop

from tests.executors.conftest import Runner


def test_uvloop_can_be_the_event_loop(runner: Runner) -> None:
    runner.stop = asyncio.Event()
    outcome = uvloop.run(runner.shell("echo hi; yes | head -n 20000; exit 4"))
    assert outcome.error == "The command ended with exit code 4."
    assert runner.lines[0] == ("stdout", "hi")
    assert runner.lines[-1][0] == "system"


def test_one_set_of_processes_serves_one_loop_after_another(runner: Runner) -> None:
    for _ in range(2):
        runner.stop = asyncio.Event()
        assert asyncio.run(runner.call("noop")).status == "done"
