"""Sockets of real pages, on the real ASGI application and PostgreSQL's real NOTIFY."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from threading import Barrier
from typing import Any

import pytest
import pytest_asyncio
from asgiref.testing import ApplicationCommunicator
from channels.db import database_sync_to_async
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from psycopg.conninfo import make_conninfo
from pytest_django import Settings

from orgs import listening, live
from orgs.models import User
from smartqueue.asgi import application
from tests.waiting import wait_until

TIMEOUT_S = 10.0


@pytest.fixture(autouse=True)
def _no_look_outlives_its_test(transactional_db: None) -> Iterator[None]:
    """A look in a thread goes on when its socket is gone; the tables that it reads are emptied next."""
    yield
    idle = Barrier(live.SIMULTANEOUS_RENDERS)
    for look in [live._threads.submit(idle.wait, TIMEOUT_S) for _ in range(idle.parties)]:
        look.result(TIMEOUT_S)


@pytest.fixture(autouse=True)
def _listen_on_the_test_database(transactional_db: None, settings: Settings) -> None:
    name = connection.settings_dict["NAME"]
    settings.DATABASE_DIRECT_DSN = make_conninfo(django_settings.DATABASE_DIRECT_DSN, dbname=name)


@pytest.fixture
def _no_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What arrives was told by a notification, not found by the slow look."""
    monkeypatch.setattr(live, "TICK_S", 3600.0)


@pytest.fixture
def _fast_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "TICK_S", 0.05)


class Socket:
    """One browser's socket, with everything that it has received."""

    def __init__(
        self, address: str, *, cookie: str = "", origin: str = "http://localhost", to: Any = application
    ) -> None:
        headers = [(b"host", b"localhost"), (b"origin", origin.encode())]
        if cookie:
            headers.append((b"cookie", f"{django_settings.SESSION_COOKIE_NAME}={cookie}".encode()))
        path, _, query = address.partition("?")
        scope = {
            "type": "websocket",
            "path": path,
            "query_string": query.encode(),
            "headers": headers,
            "subprotocols": [],
        }
        self.received: list[str] = []
        self._communicator = ApplicationCommunicator(to, scope)
        self._open = False

    async def connect(self) -> bool:
        await self._communicator.send_input({"type": "websocket.connect"})
        self._open = True
        answer = await self._communicator.receive_output(TIMEOUT_S)
        return bool(answer["type"] == "websocket.accept")

    async def next(self) -> str:
        message = await self._communicator.receive_output(TIMEOUT_S)
        assert message["type"] == "websocket.send", message
        self.received.append(message["text"])
        return self.received[-1]

    async def until(self, words: str) -> str:
        """The first message from now on that contains `words`."""
        async with asyncio.timeout(TIMEOUT_S):
            while words not in (message := await self.next()):
                pass
        return message

    async def close_code(self) -> int:
        """Of the close that the server sends, after any fragments."""
        async with asyncio.timeout(TIMEOUT_S):
            while (message := await self._communicator.receive_output(TIMEOUT_S))[
                "type"
            ] != "websocket.close":
                pass
        return int(message["code"])

    async def vanish(self) -> None:
        """The server drops the connection: the application is cancelled and gets no disconnect message."""
        self._open = False
        self._communicator.future.cancel()
        await asyncio.wait([self._communicator.future])

    async def close(self) -> None:
        """Leave, and wait for the application to end: an error that it ended with is raised here."""
        if self._open:
            self._open = False
            await self._communicator.send_input({"type": "websocket.disconnect", "code": 1000})
            await self._communicator.wait(TIMEOUT_S)


OpenSocket = Callable[..., Awaitable[Socket]]


@pytest_asyncio.fixture
async def open_socket() -> AsyncIterator[OpenSocket]:
    """`await open_socket(path, user)`: not connected yet; closed at the end of the test."""
    opened: list[Socket] = []

    @database_sync_to_async
    def session_of(user: User) -> str:
        client = Client()
        client.force_login(user)
        return client.cookies[django_settings.SESSION_COOKIE_NAME].value

    async def make(path: str, user: User | None = None, **options: Any) -> Socket:
        if user is not None:
            options.setdefault("cookie", await session_of(user))
        opened.append(Socket(path, **options))
        return opened[-1]

    yield make
    for socket in opened:
        await socket.close()


def listeners() -> list[int]:
    """The process ids of the server's sides of all LISTEN connections to the test database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
            [listening.APPLICATION_NAME],
        )
        return [pid for (pid,) in cursor.fetchall()]


@pytest.fixture(autouse=True)
def _no_listener_is_left(_listen_on_the_test_database: None) -> Iterator[None]:
    yield
    wait_until(lambda: not listeners(), message="the listener ends with the last socket")
