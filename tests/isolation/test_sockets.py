"""Every socket, opened with the other organisation's ids by somebody of the first one; on real connections."""

from __future__ import annotations

from typing import Any

import pytest
from channels.db import database_sync_to_async
from django.utils.http import urlencode
from pytest_django import Settings

from orgs.models import User
from smartqueue.asgi import sockets as site_sockets
from tests.isolation import routes
from tests.isolation.world import ACME, GLOBEX, World, fingerprint, plant, plant_platform
from tests.live.conftest import (  # noqa: F401 - fixtures
    OpenSocket,
    _listen_on_the_test_database,
    _no_listener_is_left,
    _no_look_outlives_its_test,
    open_socket,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]
PREFIX = "live/dashboard/"


def templates() -> list[str]:
    """The addresses of all sockets, as the router of the site has them."""
    [inner] = [route for route in site_sockets.routes if str(route.pattern) == PREFIX]
    return [PREFIX + str(route.pattern) for route in inner.callback.routes]


def paths(of: World) -> list[str]:
    """With ids in their places; a new kind of place belongs into PLACES of tests/isolation/routes.py."""
    found = []
    for template in templates():
        places = {"<int:job_id>": "job_id"}
        ids = [place for marker, place in places.items() if marker in template]
        assert "<" not in template or ids, f"no id is known for {template}"
        values = routes.PLACES[ids[0]](of) if ids else [None]
        found += [template.replace("<int:job_id>", str(value)) for value in values]
    return found


@pytest.mark.parametrize("alone", [False, True], ids=["filtered", "wall-alone"])
async def test_no_socket_tells_of_others(
    open_socket: OpenSocket,  # noqa: F811
    settings: Settings,
    alone: bool,
) -> None:
    settings.TENANT_FILTER = not alone
    acme, globex, before = await database_sync_to_async(_planted)()
    query = {name: values(globex)[0] for name, values in routes.QUERIES.items() if name != "before"}
    asked = [*paths(globex), *(f"{path}?{urlencode(query)}" for path in paths(globex))]
    heard = {path: await _heard(open_socket, f"/{path}", acme.boss) for path in asked}
    for path, text in heard.items():
        named = set(globex.brand.telling.findall(path)) | set(map(str, query.values()))
        assert not set(globex.brand.telling.findall(text)) - named, path
        assert text == "" or "jobs/" not in path, "the job of a stranger has no socket"
    own = "".join([await _heard(open_socket, f"/{path}", acme.boss) for path in paths(acme)])
    assert {"zqacme-job-queued", "zqacme-reason", "zqacme-line"} <= set(acme.brand.telling.findall(own))
    assert before == await database_sync_to_async(fingerprint)(acme.org.pk)


def _planted() -> tuple[World, World, dict[str, str]]:
    plant_platform()
    acme, globex = plant(ACME), plant(GLOBEX)
    return acme, globex, fingerprint(acme.org.pk)


async def _heard(open_socket: OpenSocket, path: str, user: User) -> str:  # noqa: F811
    """The first message of a socket; empty where it is refused."""
    socket: Any = await open_socket(path, user)
    if not await socket.connect():
        return ""
    return str(await socket.next())
