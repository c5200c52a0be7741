"""LISTEN on `smartqueue_live`: one connection per web process turns notifications into group messages.

Each payload is the id of an organisation whose pages may show something new; an empty one stands for all
of them. The connection is its own, past any pooler and outside Django's pool, in autocommit (inside a
transaction LISTEN hears nothing). It is held while somebody watches and made again when it breaks;
notifications of the gap are lost, so everybody is told to look again after each (re)connection.
"""

from __future__ import annotations

import asyncio
import logging
import random
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

import psycopg
from channels.layers import get_channel_layer
from django.conf import settings

CHANNEL = "smartqueue_live"
MESSAGE = {"type": "live.changed"}
EVERYBODY = "org-everybody"
ALL_ORGS = "org-all"
APPLICATION_NAME = "smartqueue-live"

IDLE_S = 15.0
ANSWER_S = 5.0
RETRY_S = (0.2, 5.0)
# What else the connection needs is in the DSN (settings.NETWORK).
CONNECT: dict[str, Any] = {"application_name": APPLICATION_NAME, "connect_timeout": 5}

logger = logging.getLogger(__name__)


def group_name(org_id: int) -> str:
    return f"org-{org_id}"


class Listener:
    """The LISTEN task of one event loop: `async with` it for as long as its messages are wanted."""

    def __init__(self) -> None:
        self._watchers = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watchers += 1
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="smartqueue-live-listener")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchers -= 1
        if self._watchers == 0 and self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        shortest, longest = RETRY_S
        delay = shortest
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    settings.DATABASE_DIRECT_DSN, autocommit=True, **CONNECT
                ) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    delay = shortest
                    await _tell(EVERYBODY)
                    await _pass_on(connection)
            except (psycopg.Error, OSError) as error:
                logger.warning("live pages: the LISTEN connection broke (%s), connecting again", error)
            except Exception:
                logger.exception("live pages: the listener failed, connecting again")
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            delay = min(delay * 2, longest)


async def _pass_on(connection: psycopg.AsyncConnection) -> None:
    while True:
        async for notification in connection.notifies(timeout=IDLE_S):
            payload = notification.payload
            if payload.isdecimal() and payload.isascii():
                await _tell(group_name(int(payload)))
                await _tell(ALL_ORGS)
            elif not payload:
                await _tell(EVERYBODY)
        # A silent connection may be a dead one: only an answer tells.
        async with asyncio.timeout(ANSWER_S):
            await connection.execute("SELECT 1")


async def _tell(group: str) -> None:
    layer = get_channel_layer()
    assert layer is not None, "CHANNEL_LAYERS has no default layer"
    await layer.group_send(group, MESSAGE)


_listeners: WeakKeyDictionary[asyncio.AbstractEventLoop, Listener] = WeakKeyDictionary()


def listener() -> Listener:
    """The listener of the running event loop."""
    return _listeners.setdefault(asyncio.get_running_loop(), Listener())
