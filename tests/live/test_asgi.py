"""The ASGI application beside sockets: static files and the server's start and stop."""

from __future__ import annotations

from pathlib import Path

import pytest
from asgiref.testing import ApplicationCommunicator
from pytest_django import Settings

from smartqueue import asgi

pytestmark = pytest.mark.asyncio


async def status_of(application: object, path: str) -> int:
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    communicator = ApplicationCommunicator(application, scope)
    await communicator.send_input({"type": "http.request", "body": b""})
    status = int((await communicator.receive_output(10))["status"])
    while (await communicator.receive_output(10)).get("more_body"):
        pass
    await communicator.wait(10)
    return status


async def nothing_else(scope: object, receive: object, send: object) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})  # type: ignore[operator]
    await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]


async def test_collected_files_are_served(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "css").mkdir()
    (tmp_path / "css" / "app.css").write_text("body {}")
    settings.STATIC_ROOT = tmp_path
    application = asgi._with_static_files(nothing_else)
    assert await status_of(application, "/static/css/app.css") == 200
    assert await status_of(application, "/static/../conftest.py") == 418
    assert await status_of(application, "/static/css/none.css") == 418
    assert await status_of(application, "/dashboard/") == 418


async def test_files_are_served_from_their_sources_before_they_are_collected(
    settings: Settings, tmp_path: Path
) -> None:
    settings.STATIC_ROOT = tmp_path / "nowhere"
    application = asgi._with_static_files(nothing_else)
    assert await status_of(application, "/static/css/app.css") == 200
    assert await status_of(application, "/dashboard/") == 418


async def test_start_and_stop_are_answered() -> None:
    server = ApplicationCommunicator(asgi.application, {"type": "lifespan"})
    for phase in ("lifespan.startup", "lifespan.shutdown"):
        await server.send_input({"type": phase})
        assert await server.receive_output(10) == {"type": f"{phase}.complete"}
    await server.wait(10)
