"""The leader keeps one process that learns: it starts it, again when it ended, and takes it along."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scheduler.duties import duties_of_a_term, learn
from scheduler.duties.learn import AGAIN_S, LATER_S, NOT_NEEDED, Learn
from tests.processes import alive
from tests.waiting import wait_until

# Lives as `manage.py learn --with-parent` does: until the pipe is closed.
CHILD = "import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); sys.stdin.buffer.read()"


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    return tmp_path / "pids"


@pytest.fixture
def duty(pids: Path, settings: Any) -> Iterator[Learn]:
    settings.LEARNING = True
    made = Learn([sys.executable, "-c", CHILD, str(pids)])
    yield made
    if (child := made._child) is not None:
        assert child.stdin is not None
        child.stdin.close()
        child.wait(timeout=10)


def started(pids: Path, count: int) -> list[int]:
    def enough() -> list[str]:
        lines = pids.read_text().splitlines() if pids.exists() else []
        return lines if len(lines) >= count else []

    return [int(line) for line in wait_until(enough, 20, "the child has started")]


def test_one_child_however_often_it_is_asked(duty: Learn, pids: Path) -> None:
    assert [duty.run("leader") for _ in range(3)] == [0, 0, 0]
    (pid,) = started(pids, 1)
    assert alive(pid)
    duty.run("leader")
    assert duty._child is not None
    assert duty._child.pid == pid


def test_a_child_that_ended_is_started_again_after_a_while(duty: Learn, pids: Path) -> None:
    duty.run("leader")
    (first,) = started(pids, 1)
    assert duty._child is not None
    duty._child.kill()
    duty._child.wait(timeout=10)
    duty.run("leader")
    assert duty._child is None, "not at once: it may fail for a reason that stays"
    duty._not_before -= AGAIN_S
    duty.run("leader")
    assert started(pids, 2)[0] == first
    assert alive(started(pids, 2)[1])


def test_where_another_one_learns_there_is_no_hurry(pids: Path, settings: Any) -> None:
    settings.LEARNING = True
    duty = Learn([sys.executable, "-c", f"raise SystemExit({NOT_NEEDED})"])
    duty.run("leader")
    assert duty._child is not None
    duty._child.wait(timeout=10)
    duty._not_before -= AGAIN_S
    duty.run("leader")
    assert duty._child is None
    duty._not_before -= AGAIN_S
    duty.run("leader")
    assert duty._child is None
    duty._not_before -= LATER_S
    duty.run("leader")
    assert duty._child is not None
    duty._child.wait(timeout=10)
    assert duty._child.stdin is not None
    duty._child.stdin.close()


def test_the_child_hears_when_the_pipe_is_closed(duty: Learn, pids: Path) -> None:
    duty.run("leader")
    started(pids, 1)
    assert duty._child is not None
    assert duty._child.stdin is not None
    duty._child.stdin.close()
    assert duty._child.wait(timeout=10) == 0


def test_where_nothing_shall_be_learned_nothing_is_started(duty: Learn, pids: Path, settings: Any) -> None:
    settings.LEARNING = False
    duty.run("leader")
    assert duty._child is None


def test_it_is_one_of_the_duties_and_the_same_in_each_term() -> None:
    first, second = ([one for one in duties_of_a_term() if one.name == "learn"] for _ in range(2))
    assert [one.run for one in first] == [one.run for one in second] == [learn.run]
