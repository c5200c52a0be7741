"""The commands that containers start exist and do what the files count on: serve, answer, stop."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from django.core.management import get_commands

from tests.deploy.files import ROOT, commands, last_instruction, option, output_of, text_of, web_command
from tests.waiting import wait_until

COMMANDS = sorted({tuple(command) for command in commands()})


def on_this_python(command: list[str]) -> list[str]:
    """The image's PATH starts with its virtual environment; here that is where this Python is."""
    return [str(Path(sys.executable).parent / command[0]), *command[1:]]


def test_every_role_is_started_somewhere() -> None:
    assert {command[2] for command in COMMANDS} == {"migrate", "retrain", "runscheduler", "runworker"}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_exists_and_takes_its_options(command: tuple[str, ...]) -> None:
    python, manage, name, *options = command
    assert (python, manage) == ("python", "manage.py")
    assert name in get_commands()
    usage = output_of([sys.executable, "manage.py", name, "--help"]).stdout
    assert all(option in usage for option in options)


def test_runworker_and_runscheduler_are_ours() -> None:
    assert get_commands()["runworker"] == get_commands()["runscheduler"] == "scheduler"


def test_roles_of_the_table_are_the_roles_that_are_started() -> None:
    table = text_of("docs/deployment.md").split("## With Docker Compose")[0]
    for command in {command[2] for command in COMMANDS}:
        assert f"`python manage.py {command}`" in table


def answers(url: str, **headers: str) -> bool:
    try:
        with urlopen(Request(url, headers=headers), timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


@pytest.fixture
def web(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The image's default command, on 127.0.0.1 and a free port."""
    command = on_this_python(web_command())
    command[command.index("--host") + 1] = "127.0.0.1"
    command[command.index("--port") + 1] = str(port)
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


def test_default_command_serves_the_health_check_and_stops_on_sigterm(
    web: subprocess.Popen[bytes], port: int
) -> None:
    check = json.loads(last_instruction("HEALTHCHECK").partition(" CMD ")[2])
    check[-1] = check[-1].replace(f":{option(web_command(), '--port')}/", f":{port}/")
    wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), timeout=30, message="/healthz answers")
    assert output_of(on_this_python(check)).returncode == 0
    assert answers(f"http://127.0.0.1:{port}/healthz", Host="localhost")  # as the probes of k8s/web.yaml ask
    web.send_signal(signal.SIGTERM)
    web.wait(timeout=int(option(web_command(), "--timeout-graceful-shutdown")) + 5)
    assert not answers(f"http://127.0.0.1:{port}/healthz")
