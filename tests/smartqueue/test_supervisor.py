"""How the supervisor of `manage.py up` ends its children: told once, told again, killed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from smartqueue import platform_up
from smartqueue.supervisor import Child, Supervisor
from tests.waiting import wait_until

# Ends with the number of SIGTERMs that it was told to wait for.
STUBBORN = """
import signal, sys, time
told = 0
def note(*_):
    global told
    told += 1
    if told == int(sys.argv[1]):
        sys.exit(told)
signal.signal(signal.SIGTERM, note)
print("ready", flush=True)
while True:
    time.sleep(60)
"""


def run_and_stop(folder: Path, *, ends_after: int, **limits: float) -> tuple[int | None, list[str]]:
    said: list[str] = []
    supervisor = Supervisor(folder, say=said.append)
    child = Child("one", [sys.executable, "-c", STUBBORN, str(ends_after)], **limits)
    supervisor.start(child)
    wait_until(lambda: "ready" in (folder / "one.log").read_text(), 30, "the child is ready")
    supervisor.stop()
    assert child.process is not None
    return child.process.returncode, said


def test_a_child_that_ends_is_told_once(tmp_path: Path) -> None:
    assert run_and_stop(tmp_path, ends_after=1, hurry_s=60, stop_s=60) == (1, [])


def test_one_that_takes_its_time_is_told_again(tmp_path: Path) -> None:
    assert run_and_stop(tmp_path, ends_after=2, hurry_s=0.2, stop_s=60) == (2, [])


@pytest.mark.parametrize("limits", [{"stop_s": 0.2}, {"hurry_s": 0.1, "stop_s": 0.2}])
def test_one_that_does_not_end_is_killed(tmp_path: Path, limits: dict[str, float]) -> None:
    code, said = run_and_stop(tmp_path, ends_after=99, **limits)
    assert (code, said) == (-9, ["one did not stop within 0.2 s and is killed."])


@pytest.mark.parametrize(("given", "expected"), [("", 5), ("20", 20), ("1", 1)])
def test_ctrl_c_is_quick_unless_a_grace_was_given(
    monkeypatch: pytest.MonkeyPatch, given: str, expected: float
) -> None:
    monkeypatch.setenv("SMARTQUEUE_WORKER_GRACE_S", given)
    assert platform_up.ctrl_c_grace_s(float(given or 20)) == expected
