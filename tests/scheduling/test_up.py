"""`manage.py up`, the way `make run` starts it: first jobs of every kind, a clean stop, yesterday's data, kills."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smartqueue import postgres
from tests.e2e.conftest import ROOT, Running, start_platform, stop_platform
from tests.processes import alive
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="sq-up-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def call(url: str, body: dict[str, Any] | None = None, token: str = "") -> Any:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    data = json.dumps(body).encode() if body is not None else None
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as response:
        return json.load(response)


def token_of(running: Running, username: str = "demo-user") -> str:
    answer = call(f"{running.url}/auth/login", {"username": username, "password": running.logins[username]})
    return str(answer["access_token"])


def jobs_of(running: Running, token: str) -> dict[str, dict[str, Any]]:
    listed = call(f"{running.url}/jobs/?page_size=100", token=token)["results"]
    return {job["name"]: call(f"{running.url}/jobs/{job['id']}", token=token) for job in listed}


def test_first_run_second_run_and_a_taken_port(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        running = start_platform(folder, SMARTQUEUE_PORT=str(port))
        try:
            assert f"Port {port} is taken, trying {port + 1}." in running.output.read_text()
            first = check_first_jobs(running)
        finally:
            assert stop_platform(running.process) == 0
    assert not postgres.is_running(folder)
    assert postgres_left_behind(folder) == []

    again = start_platform(folder)
    try:
        assert again.logins == running.logins
        token = token_of(again)
        assert jobs_of(again, token).keys() == first.keys()
        nightly = [run_nightly(again, folder, key, command) for key, command in NIGHTLY]
        assert nightly == [0, 0, 1], again.output.read_text()
        made = [job for name, job in jobs_of(again, token).items() if name not in first]
        assert sorted(job["status"] for job in made) == ["done", "failed"]
        assert "jobs from before are there" in again.output.read_text()
        with postgres.ensure_running(folder) as hold:
            assert stop_platform(again.process) == 0
            assert "It goes on until that process ends" in again.output.read_text()
            assert postgres.is_running(folder)
            assert hold.release(wait_s=30)
    finally:
        assert stop_platform(again.process) == 0


NIGHTLY = (("night", "exit 0"), ("night", "exit 0"), ("other", "exit 1"))


def run_nightly(running: Running, folder: Path, key: str, command: str) -> int:
    """The exit code of the script in docs/api.md; a key submits one job a day."""
    script = (ROOT / "docs" / "api.md").read_text().partition("```sh\n")[2].partition("```")[0]
    job = {"name": key, "type": "shell", "payload": {"command": command}, "max_retries": 0}
    login = {"username": "demo-user", "password": running.logins["demo-user"]}
    (folder / "nightly.json").write_text(json.dumps(job))
    (folder / "login.json").write_text(json.dumps(login))
    ran = subprocess.run(
        ["/bin/sh", "-c", script.replace("nightly-$", f"{key}-$")],
        cwd=folder,
        env={**os.environ, "SMARTQUEUE_URL": running.url},
        timeout=90,
        check=False,
    )
    return ran.returncode


def check_first_jobs(running: Running) -> dict[str, dict[str, Any]]:
    token = token_of(running)

    def settled() -> dict[str, dict[str, Any]] | None:
        jobs = jobs_of(running, token)
        waiting = [job for job in jobs.values() if job["status"] not in ("done", "failed")]
        return jobs if jobs and not waiting else None

    jobs = wait_until(settled, 120, "the first jobs end")
    failed = {name: job["error_msg"] for name, job in jobs.items() if job["status"] == "failed"}
    assert list(failed) == ["broken import"], failed
    assert jobs["broken import"]["retry_count"] == 2
    assert jobs["health check"]["result"]["status"] == 200
    assert jobs["petal sizes"]["result"]["row_count"] == 3
    assert jobs["breast cancer model"]["result"]["scores"]["accuracy"] > 0.85
    output = call(f"{running.url}/jobs/{jobs['disk report']['id']}/output", token=token)
    assert "step 3" in [line["text"] for line in output["lines"]]
    return jobs


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find the child processes")
def test_kill_9_of_anything_is_survived(folder: Path) -> None:
    running = start_platform(folder)
    try:
        for name in ("runworker", "runscheduler", "uvicorn", "bin/postgres ", "postgres.guardian"):
            victim = wait_until(lambda name=name: child(running, name), 60, f"{name} runs")
            os.kill(victim, signal.SIGKILL)
            wait_until(
                lambda name=name, old=victim: child(running, name) not in (None, old), 60, f"{name} is back"
            )
        wait_until(lambda: answers(f"{running.url}/readyz"), 60, "the web server answers again")
        token = wait_until(lambda: try_token(running), 60, "logins work again")
        made = call(
            f"{running.url}/jobs/",
            {"name": "after", "type": "python", "payload": {"function": "noop"}},
            token,
        )
        wait_until(
            lambda: call(f"{running.url}/jobs/{made['id']}", token=token)["status"] == "done",
            90,
            "a job is done",
        )
    finally:
        started = set(family(running)) - {running.process.pid}
        running.process.kill()
        running.process.wait()
    wait_until(
        lambda: not postgres.is_running(folder), 60, "the database stops after the kill of its supervisor"
    )
    wait_until(lambda: not any(map(alive, started)), 60, "no process is left behind")


def answers(url: str) -> bool:
    try:
        return bool(call(url))
    except OSError:
        return False


def try_token(running: Running) -> str:
    try:
        return token_of(running)
    except OSError:
        return ""


def family(running: Running) -> dict[int, str]:
    """{pid: command line} of what `up` started, and of the database, which belongs to its guardian."""
    commands, parents = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        stat = read_bytes(entry / "stat").rpartition(b")")[2].split()
        if stat and stat[0] != b"Z":
            commands[int(entry.name)] = (
                read_bytes(entry / "cmdline").replace(b"\0", b" ").decode(errors="replace")
            )
            parents[int(entry.name)] = int(stat[1])
    return {
        pid: command
        for pid, command in commands.items()
        if parents[pid] == running.process.pid or (str(running.data_dir) in command and pid != os.getpid())
    }


def child(running: Running, name: str) -> int | None:
    return next((pid for pid, command in family(running).items() if name in command), None)


def postgres_left_behind(folder: Path) -> list[str]:
    return [
        entry.name
        for entry in Path("/proc").glob("[0-9]*")
        if str(folder).encode() in (read_bytes(entry / "cmdline"))
    ]


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
