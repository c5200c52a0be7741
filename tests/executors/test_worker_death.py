"""A worker that dies takes the processes of its jobs with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.executors.conftest import all_gone
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def worker(type: str, payload: dict[str, Any], *around: str) -> Iterator[subprocess.Popen[str]]:
    """A worker in a process group of its own."""
    command = [*around, sys.executable, "-m", "tests.executors.lonely_worker", type, json.dumps(payload)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def parents(pid: int, levels: int) -> list[int]:
    found = []
    for _ in range(levels):
        pid = int(
            subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, check=True).stdout
        )
        found.append(pid)
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_killed_worker(number: signal.Signals) -> None:
    command = "pwd; trap '' TERM HUP INT; sleep 1000 & echo $!; echo $$; wait; wait"
    with worker("shell", {"command": command}) as process:
        folder, *lines = [next_line(process) for _ in range(3)]
        pids = [int(line) for line in lines]
        pids += parents(pids[-1], 3)  # the job's process, its guard, the fork server
        process.send_signal(number)
        process.wait()
        all_gone(*pids)
        wait_until(lambda: not Path(folder).parent.exists(), message="the working folders are gone")


def test_nor_does_a_job_that_holds_the_interpreter(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    payload = {"function": "t.hold_the_interpreter", "args": [str(pid_file)]}
    with worker("python", payload) as process:
        pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text(), message="the job runs"))
        process.kill()
        all_gone(pid)


def test_an_interrupt_of_the_workers_group_does_not_reach_its_jobs(tmp_path: Path) -> None:
    """As Ctrl-C at a terminal: the worker, which ignores it here, decides what becomes of its jobs."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    command = f"trap 'echo interrupted' INT; echo up; cat {gate}; echo end"
    with worker("shell", {"command": command}, "/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh") as process:
        assert next_line(process) == "up"
        os.killpg(process.pid, signal.SIGINT)
        gate.write_text("open\n")
        assert [next_line(process), next_line(process)] == ["open", "end"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs tmpfs")
def test_no_room_for_a_working_folder_puts_the_job_off(tmp_path: Path) -> None:
    """A file system with room for the folder of the worker and for nothing else."""
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs a mount namespace")
    worker = [
        sys.executable,
        "-m",
        "tests.executors.lonely_worker",
        "python",
        json.dumps({"function": "noop"}),
    ]
    script = 'mount -t tmpfs -o nr_inodes=2 none "$0"; exec "$@"'
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, str(tmp_path), *worker],
        cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert result.stdout == (
        "No room for the working folder: No space left on device. Again in 30 s.\nsnoozed\n"
    )
