"""What a job's process inherits: nothing of the worker's that it does not need."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.executors.environment import command_environment, fork_server_environment, job_environment
from jobs.executors.process import JobProcesses
from tests.executors.conftest import Runner, make_spec

SECRETS = {
    "DATABASE_URL": "postgresql://alice:hunter2@127.0.0.1/x",
    "SMARTQUEUE_SECRET_KEY": "hunter2",
    "AWS_SECRET_ACCESS_KEY": "hunter2",
    "LD_PRELOAD_NOTE": "hunter2",
    "HTTPS_PROXY": "http://alice:hunter2@127.0.0.1:1",
}
ALLOWED = {
    "PATH",
    "LANG",
    "HOME",
    "TMPDIR",
    "SMARTQUEUE_JOB_ID",
    "SMARTQUEUE_ATTEMPT",
    "SMARTQUEUE_IDEMPOTENCY_ID",
}
SET_BY_THE_SHELL = {"PWD", "OLDPWD", "SHLVL", "_"}

HEAVY = ["django", "numpy", "sklearn", "duckdb", "httpx", "pydantic"]

linux = pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch, runner: Runner) -> Iterator[Runner]:
    """A runner whose worker has secrets in its environment."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with JobProcesses() as processes:
        yield Runner(processes)


@pytest.mark.asyncio
async def test_a_command_sees_none_of_the_workers_variables(guarded: Runner) -> None:
    await guarded.shell("env")
    found = dict(text.partition("=")[::2] for _, text in guarded.lines)
    assert set(found) - SET_BY_THE_SHELL == ALLOWED
    assert (found["SMARTQUEUE_JOB_ID"], found["SMARTQUEUE_ATTEMPT"]) == ("7", "2")
    assert found["SMARTQUEUE_IDEMPOTENCY_ID"] == "idem-7"
    assert "hunter2" not in guarded.text()


@linux
@pytest.mark.asyncio
async def test_nor_do_the_processes_above_it_hold_them(guarded: Runner) -> None:
    """From the command up to the fork server; the worker itself is what `hide_process` is for.

    All but the command are hidden as well; only root can read them all the same.
    """
    up = "p=$(ps -o ppid= -p $p | tr -d ' ')"
    show = "tr '\\0' '\\n' < /proc/$p/environ || echo hidden"
    await guarded.shell(f"p=$$; for _ in 1 2 3 4; do {show}; {up}; done")
    names = [text.partition("=")[0] for text in guarded.text().split("\n")]
    assert "PATH" in names
    assert names.count("PATH") + names.count("hidden") == 4
    assert "hunter2" not in guarded.text()


@pytest.mark.asyncio
async def test_a_registered_function_has_the_workers_environment(guarded: Runner) -> None:
    assert (await guarded.call("t.environment", "SMARTQUEUE_SECRET_KEY")).result == "hunter2"
    assert (await guarded.call("t.environment", "SMARTQUEUE_IDEMPOTENCY_ID")).result == "idem-7"


@pytest.mark.parametrize("type", ["shell", "http", "etl", "ml"])
def test_only_what_the_type_needs(type: str, tmp_path: Path) -> None:
    spec = make_spec(type, {})
    found = job_environment(spec, tmp_path, {**SECRETS, "PATH": "/bin"})
    proxies = set() if type == "shell" else {"HTTPS_PROXY"}
    assert {name for name, value in found.items() if "hunter2" in value} == proxies
    assert command_environment(spec, tmp_path, {})["PATH"] == os.defpath


@linux
@pytest.mark.asyncio
async def test_other_processes_of_the_user_cannot_look_into_a_job(runner: Runner) -> None:
    assert (await runner.call("t.dumpable")).result == 0


@pytest.mark.asyncio
async def test_no_descriptor_of_the_worker_and_of_other_jobs_is_open(runner: Runner) -> None:
    other = Runner(runner.processes)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        busy = asyncio.create_task(other.shell("sleep 1000"))
        alone = (await runner.call("t.descriptors")).result
        beside = (await runner.call("t.descriptors")).result
        await runner.shell("ls -l /dev/fd/")
    other.stop.set()
    await busy
    assert len(alone) == len(beside) <= 8
    assert sum(name.startswith("socket:") for name in alone.values()) <= 1
    assert "socket:" not in runner.text()
    assert runner.text().count("pipe:") == (2 if sys.platform == "linux" else 0)


@pytest.mark.asyncio
async def test_a_job_starts_with_one_thread_and_without_heavy_modules(runner: Runner) -> None:
    assert (await runner.call("t.threads")).result == 1
    assert (await runner.call("t.modules", *HEAVY, "asyncio", "jobs.functions")).result == ["jobs.functions"]


@linux
@pytest.mark.parametrize("module", ["http", "shell", "etl", "ml", "python"])
def test_no_import_of_an_executor_starts_a_thread(module: str) -> None:
    """A fork takes only one thread along: locks that another holds at that time stay locked."""
    code = f"import jobs.executors.{module}, os; print(len(os.listdir('/proc/self/task')))"
    environment = fork_server_environment(os.environ)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


@pytest.mark.parametrize("module", ["shell", "python", "process"])
def test_light_modules_import_nothing_heavy(module: str) -> None:
    code = f"import jobs.executors.{module}, sys; print([n for n in {HEAVY} if n in sys.modules])"
    environment = fork_server_environment(os.environ)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
