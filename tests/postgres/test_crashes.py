"""kill -9 of anything: the data stays, and whoever holds the server gets it back."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from smartqueue import postgres
from smartqueue.postgres import identity
from smartqueue.postgres.binaries import find_bin_dir
from smartqueue.postgres.cluster import Cluster
from smartqueue.postgres.guardian import Guardian
from tests.postgres.conftest import (
    answers,
    ask,
    guardian_pid,
    is_stopped,
    kill,
    kill_guardian,
    postmaster_pid,
    said,
)
from tests.waiting import wait_until

KEPT = "SELECT value FROM kept"


def test_a_killed_server_comes_back_by_itself(kept_dir: Path, hold: postgres.Hold) -> None:
    killed = postmaster_pid(kept_dir)

    kill(killed)

    wait_until(lambda: answers(kept_dir) and postmaster_pid(kept_dir) != killed, message="a new server")
    assert ask(kept_dir, KEPT) == "yesterday"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_a_killed_guardian_takes_the_server_with_it(kept_dir: Path, hold: postgres.Hold) -> None:
    kill_guardian(kept_dir)

    wait_until(lambda: not answers(kept_dir), message="the server shuts down")
    assert not postgres.is_running(kept_dir)
    hold.ensure()
    assert ask(kept_dir, KEPT) == "yesterday"


def test_ensure_right_after_the_kill_gives_a_server_that_stays(kept_dir: Path, hold: postgres.Hold) -> None:
    before = ask(kept_dir, "SELECT pg_postmaster_start_time()")
    kill_guardian(kept_dir)

    hold.ensure()

    if sys.platform == "linux":
        assert ask(kept_dir, "SELECT pg_postmaster_start_time()") > before
    assert ask(kept_dir, KEPT) == "yesterday"


def test_guardian_and_server_killed_at_once(kept_dir: Path, hold: postgres.Hold) -> None:
    # Where nobody reaps orphans the killed server stays a zombie, whose pid looks alive to PostgreSQL.
    kill_guardian(kept_dir, postmaster_pid(kept_dir))

    hold.ensure()

    assert ask(kept_dir, KEPT) == "yesterday"


def test_a_leftover_pid_file_that_names_a_live_process(kept_dir: Path, hold: postgres.Hold) -> None:
    kill_guardian(kept_dir, postmaster_pid(kept_dir))
    wait_until(lambda: is_stopped(kept_dir), message="the last process of the old server ends")
    pid_file = kept_dir / "postgres" / "postmaster.pid"
    user = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    pid_file.write_text(pid_file.read_text().replace(pid_file.read_text().split()[0], str(user.pid), 1))

    hold.ensure()
    assert ask(kept_dir, KEPT) == "yesterday"
    hold.release(wait_s=10)

    assert user.poll() is None, "a stranger with the pid of an old server was hit"
    user.communicate(b"\n")


@pytest.mark.parametrize("victim", ["guardian", "initdb"])
def test_killed_in_the_middle_of_initdb(
    data_dir: Path, start_user: Callable[..., subprocess.Popen[str]], victim: str
) -> None:
    user = start_user()
    draft = data_dir / "postgres.initdb"
    wait_until((draft / "global").exists, message="initdb is at work")
    kill(guardian_pid(data_dir) if victim == "guardian" else _child_of(guardian_pid(data_dir)))
    assert not (data_dir / "postgres").exists()

    assert said(user)

    assert ask(data_dir, "SELECT current_user") == "smartqueue"
    assert not draft.exists()


def test_a_server_without_guardian_is_adopted_and_stopped(initialised: Path) -> None:
    """What happens where a killed guardian leaves its server running."""
    cluster = Cluster(initialised, durable=False)
    orphan = Guardian(cluster, identity.choose(find_bin_dir() / "postgres"))
    while orphan.ready is None:
        orphan.step()
    assert orphan.child
    os.close(orphan.ready)

    with postgres.ensure_running(initialised, durable=False) as hold:
        assert orphan.child.poll() is None
        assert postmaster_pid(initialised) == orphan.child.pid
        hold.release(wait_s=10)

    assert orphan.child.wait(timeout=10) == 0


def _child_of(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0])
