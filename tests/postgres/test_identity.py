"""As root and as an ordinary user; PostgreSQL itself never runs as root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from smartqueue import postgres
from smartqueue.postgres import RunAs
from tests.postgres.conftest import ROOT, ask, is_stopped, keep_row, kill_guardian, said

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has a choice")


@as_root
@pytest.mark.parametrize("way", [RunAs.NAMESPACE, RunAs.ACCOUNT])
def test_each_way_of_root_serves_and_survives_its_guardian(data_dir: Path, way: RunAs) -> None:
    hold = _start(data_dir, way)
    keep_row(data_dir)

    kill_guardian(data_dir)
    hold.ensure()

    assert ask(data_dir, "SELECT value FROM kept") == "yesterday"
    hold.release(wait_s=10)
    assert is_stopped(data_dir)


@as_root
def test_root_may_change_the_way_on_the_same_data(initialised: Path) -> None:
    data_dir = initialised
    for way in (RunAs.NAMESPACE, RunAs.ACCOUNT, RunAs.NAMESPACE):
        hold = _start(data_dir, way)
        ask(data_dir, "CREATE TABLE IF NOT EXISTS kept (value int)")
        ask(data_dir, "INSERT INTO kept VALUES (1)")
        hold.release(wait_s=10)

    hold = _start(data_dir, None)
    assert ask(data_dir, "SELECT count(*) FROM kept") == 3
    hold.release(wait_s=10)


@as_root
def test_root_without_its_powers_is_told_what_to_do(data_dir: Path) -> None:
    guardian = [sys.executable, "-m", "smartqueue.postgres.guardian", str(data_dir), "--run-as=account"]
    weak = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]

    answer = subprocess.run([*weak, *guardian], cwd=ROOT, capture_output=True, text=True, check=False)

    assert answer.returncode == 1
    assert re.search(r"SMARTQUEUE_DATA_DIR set .* or set DATABASE_URL", answer.stderr)


@as_root
def test_an_ordinary_user(data_dir: Path, start_user: Callable[..., subprocess.Popen[str]]) -> None:
    drop = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    environment = os.environ | {"PYTHONPATH": sysconfig.get_path("purelib")}
    python = _python_for(drop, environment)
    shutil.chown(data_dir, "nobody")

    user = start_user([*drop, python], environment)

    dsn = said(user)
    assert f"smartqueue-{data_dir.stat().st_uid}-" in dsn
    assert (data_dir / "postgres").stat().st_uid == data_dir.stat().st_uid
    user.communicate()


def _start(data_dir: Path, way: RunAs | None) -> postgres.Hold:
    return postgres.ensure_running(data_dir, durable=False, run_as=way, wait_s=20)


def _python_for(drop: list[str], environment: dict[str, str]) -> str:
    """A Python with our packages that the other user can start; this one may lie in root's home."""
    probe = "import subprocess, sys, psycopg; subprocess.check_call([sys.executable, '--version'])"
    for python in (sys.executable, shutil.which("python3", path="/usr/bin:/bin")):
        command = [*drop, str(python), "-c", probe]
        if subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0:
            return str(python)
    pytest.skip("no Python that an ordinary user can reach")
