"""Pauses and replays reach the open pages of those whom they concern, by notification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from channels.db import database_sync_to_async

from jobs import control
from jobs.models import Job, Worker
from orgs.models import User
from tests.live.conftest import OpenSocket

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio,
    pytest.mark.usefixtures("_no_tick"),
]


async def in_database(function: Callable[..., Any], **named: Any) -> Any:
    return await database_sync_to_async(function)(**named)


async def opened(open_socket: OpenSocket, path: str, user: User) -> Any:
    socket = await open_socket(path, user)
    assert await socket.connect()
    await socket.next()
    return socket


async def test_a_pause_of_the_platform_appears_on_everybodys_page(
    open_socket: OpenSocket, bob: User, charlie: User, root_admin: User
) -> None:
    sockets = [await opened(open_socket, "/live/dashboard/", person) for person in (bob, charlie)]
    pause = await in_database(control.pause, user=root_admin, reason="moving the database")
    for socket in sockets:
        assert "/resume/" not in await socket.until("moving the database")
    await in_database(control.resume, user=root_admin, pause=pause)
    for socket in sockets:
        await socket.until('<div id="pauses"></div>')


async def test_a_pause_of_an_organisation_is_told_to_its_members_only(
    open_socket: OpenSocket, alice: User, bob: User, charlie: User, submit: Callable[..., Job]
) -> None:
    ours = await opened(open_socket, "/live/dashboard/workers/", bob)
    theirs = await opened(open_socket, "/live/dashboard/", charlie)
    await in_database(control.pause, user=alice, reason="the relay is down")
    await ours.until("the relay is down")
    await database_sync_to_async(submit)(charlie, name="of globex")
    await theirs.until("of globex")
    assert "the relay is down" not in "".join(theirs.received)


async def test_what_a_worker_is_told_appears_on_the_workers_page(
    open_socket: OpenSocket, bob: User, root_admin: User
) -> None:
    worker = await in_database(Worker.objects.create, worker_id="w1", hostname="h", pid=1, concurrency=1)
    socket = await opened(open_socket, "/live/dashboard/workers/", bob)
    await in_database(control.set_wanted, user=root_admin, worker_id=worker.pk, wanted="drain")
    assert "/workers/w1/" not in await socket.until('badge-paused">draining<')
