"""Real clients at real web servers, which share one count of logins and know whom they talk to."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import RequestFactory
from django_ratelimit.core import get_usage

from orgs.models import AuditEntry, User
from tests.conftest import PASSWORD
from tests.processes import Processes, processes
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

CLIENT = Path(__file__).with_name("login_client.py")
ALLOWED, RATE = 30, "30/h"
PROXY = "10.0.0.8"  # the inner one of two; the outer one is connected to by the client
SETTINGS = {
    "SMARTQUEUE_TRUSTED_PROXIES": "2",
    "SMARTQUEUE_RATE_LOGIN": RATE,
    "SMARTQUEUE_LOGIN_FREE": "1000",
    "SMARTQUEUE_LOGIN_FREE_ACCOUNT": "1000",
    "SMARTQUEUE_LOGIN_FREE_ADDRESS": "1000",
}


@pytest.fixture
def ports(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[list[int]]:
    """Of as many web servers as asked for, started as in the image and ready."""
    with processes(tmp_path, **SETTINGS) as started:
        found = [_start_server(started) for _ in range(request.param)]
        for port in found:
            wait_until(lambda port=port: _answers(port), timeout=60, message=f"port {port}")  # type: ignore[misc]
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("ports", [3], indirect=True)
def test_of_200_logins_from_50_processes_exactly_the_allowed_number_pass(
    ports: list[int], alice: User
) -> None:
    _logins_pass_exactly(ports, clients=50, attempts=4)


@pytest.mark.parametrize("ports", [2], indirect=True)
def test_servers_share_one_count_and_no_forged_header_changes_an_address(
    ports: list[int], alice: User
) -> None:
    _logins_pass_exactly(ports, clients=6, attempts=8)
    # One entry, where two proxies would have made two: the client came past them. uvicorn left its address alone.
    [(status, _)] = _outcomes([_client(ports[0], 1, "192.0.2.99")])
    assert status == 200
    assert AuditEntry.objects.filter(action="user.login").latest("id").ip == "127.0.0.1"


def _logins_pass_exactly(ports: list[int], *, clients: int, attempts: int) -> None:
    address = _address_far_from_an_edge()
    running = [
        _client(ports[number % len(ports)], attempts, f"198.51.100.{number}, {address}, {PROXY}")
        for number in range(clients)
    ]
    outcomes = _outcomes(running)
    assert Counter(status for status, _ in outcomes) == {200: ALLOWED, 429: clients * attempts - ALLOWED}
    assert all((status == 429) == (1 <= wait <= 3600) for status, wait in outcomes)
    notes = AuditEntry.objects.filter(action="user.login", ip=address)
    assert notes.count() == ALLOWED


def _address_far_from_an_edge() -> str:
    """The limiter's windows end at another moment for each address: here is one that does not end during a test."""
    for number in range(1, 255):
        address = f"192.0.2.{number}"
        request = RequestFactory().post("/", REMOTE_ADDR=address)
        usage = get_usage(request, group="auth.login", key="ip", rate=RATE)
        if usage["time_left"] > 600:
            return address
    raise AssertionError("every window ends soon")


def _client(port: int, attempts: int, forwarded: str) -> subprocess.Popen[str]:
    headers = {"Content-Type": "application/json", "X-Forwarded-For": forwarded}
    body = {"username": "alice", "password": PASSWORD}
    command = [sys.executable, "-I", "-S", str(CLIENT), str(port), str(attempts)]
    return subprocess.Popen(
        [*command, json.dumps(headers), json.dumps(body)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _outcomes(clients: list[subprocess.Popen[str]]) -> list[tuple[int, int]]:
    """(status, Retry-After or 0) of every answer; all begin when the last client has started."""
    for client in clients:
        assert client.stdin is not None
        client.stdin.close()
        client.stdin = None
    lines = [line.split() for client in clients for line in client.communicate(timeout=120)[0].splitlines()]
    assert [client.returncode for client in clients] == [0] * len(clients)
    return [(int(status), 0 if wait == "none" else int(wait)) for status, wait in lines]


def _start_server(started: Processes) -> int:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "smartqueue.asgi:application",
            "--fd",
            str(listener.fileno()),
        ]
        started.spawn([*command, "--no-proxy-headers", "--no-server-header"], pass_fds=(listener.fileno(),))
        return int(listener.getsockname()[1])


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
