"""Data folders and processes for the tests of the embedded PostgreSQL; none of them needs Django."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from smartqueue import postgres
from smartqueue.postgres.cluster import Cluster
from smartqueue.postgres.locks import is_locked
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys
from pathlib import Path
from smartqueue.postgres import ensure_running
hold = ensure_running(Path(sys.argv[1]), durable=False)
print(hold.dsn, flush=True)
sys.stdin.read()
"""


def ask(data_dir: Path, query: str) -> Any:
    """The first column of the first row, or None without rows."""
    with psycopg.connect(postgres.dsn(data_dir), autocommit=True, connect_timeout=5) as connection:
        cursor = connection.execute(query)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def answers(data_dir: Path) -> bool:
    try:
        return bool(ask(data_dir, "SELECT true"))
    except psycopg.OperationalError:
        return False


def keep_row(data_dir: Path) -> None:
    """Committed to the log file, which a throw-away server otherwise does a moment later."""
    ask(data_dir, "SET synchronous_commit = on; CREATE TABLE IF NOT EXISTS kept AS SELECT 'yesterday' value")


def guardian_pid(data_dir: Path) -> int:
    return int(Cluster(data_dir).guardian_lock.read_text())


def postmaster_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split()[0])


def said(user: subprocess.Popen[str]) -> str:
    """The DSN that a process prints once it holds the server; empty if it failed."""
    assert user.stdout
    return user.stdout.readline().strip()


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def kill_guardian(data_dir: Path, *others: int) -> None:
    """Returns when the kernel has taken the guardian's locks back."""
    kill(guardian_pid(data_dir), *others)
    lock = Cluster(data_dir).guardian_lock
    wait_until(lambda: not is_locked(lock), message="the killed guardian ends")


def is_stopped(data_dir: Path) -> bool:
    return not is_locked(Cluster(data_dir).guardian_lock) and not is_locked(Cluster(data_dir).server_lock)


def remove(data_dir: Path) -> None:
    """The users are gone by now: the server must stop by itself."""
    wait_until(lambda: is_stopped(data_dir), message=f"the server of {data_dir} stops")
    shutil.rmtree(data_dir)
    shutil.rmtree(Cluster(data_dir).socket_dir, ignore_errors=True)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder of mode 0700; what still runs in it at the end must stop by itself."""
    folder = Path(tempfile.mkdtemp(prefix="sq-pg-")).resolve()
    yield folder
    remove(folder)


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """Files of a new cluster; copying them is several times quicker than initdb."""
    folder = Path(tempfile.mkdtemp(prefix="sq-pg-")).resolve()
    postgres.ensure_running(folder, durable=False).release(wait_s=10)
    yield folder / "postgres"
    remove(folder)


@pytest.fixture
def initialised(data_dir: Path, template: Path) -> Path:
    """`data_dir` with a cluster in it that is not running."""
    return Path(shutil.copytree(template, data_dir / "postgres")).parent


@pytest.fixture
def start_user(data_dir: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that holds the server of `data_dir` until it is killed or its stdin is closed."""
    started = []

    def start(python: list[str] | None = None, environment: dict[str, str] | None = None) -> Any:
        command = [*(python or [sys.executable]), "-c", HOLD, str(data_dir)]
        pipe = subprocess.PIPE
        user = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, env=environment)
        started.append(user)
        return user

    yield start
    for user in started:
        user.kill()
        user.communicate()


@pytest.fixture(scope="module")
def kept_dir(template: Path) -> Iterator[Path]:
    """The data folder that the tests of one module share."""
    folder = Path(tempfile.mkdtemp(prefix="sq-pg-")).resolve()
    shutil.copytree(template, folder / "postgres")
    yield folder
    remove(folder)


@pytest.fixture
def hold(kept_dir: Path) -> Iterator[postgres.Hold]:
    """This process holds the throw-away server of `kept_dir`, with one row written to the table `kept`."""
    with postgres.ensure_running(kept_dir, durable=False) as held:
        keep_row(kept_dir)
        yield held
