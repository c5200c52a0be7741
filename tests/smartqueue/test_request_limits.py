"""Requests that are too large or too slow are refused before they are kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from smartqueue import request_limits
from smartqueue.request_limits import LARGEST_BODY, LARGEST_HEADERS, RequestLimits
from tests.smartqueue.asgi_client import Answer, request

pytestmark = pytest.mark.asyncio


class Application:
    """Reads a whole body as the handler does, and answers with its size."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message.get("body", b"")), message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(size).encode()})


async def sent(application: Application, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await request(RequestLimits(application), "POST", "/jobs/", body=body, headers=named)


async def test_what_is_within_the_limits_passes() -> None:
    application = Application()
    answer = await sent(application, b"x" * 1000, cookie="c" * (LARGEST_HEADERS - 100))
    assert (answer.status, answer.body) == (200, b"1000")


async def test_a_body_that_is_announced_too_large_is_not_read() -> None:
    application = Application()
    answer = await sent(application, content_length=str(LARGEST_BODY + 1))
    assert (answer.status, answer.json()["error"]["code"]) == (413, "too_large")
    assert answer.headers["connection"] == "close"
    assert application.asked == 0


async def test_a_body_that_is_not_announced_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limits, "LARGEST_BODY", 10)
    answer = await sent(Application(), b"x" * 30, content_length="", transfer_encoding="chunked")
    assert answer.status == 413


async def test_large_headers() -> None:
    application = Application()
    answer = await sent(application, cookie="c" * LARGEST_HEADERS)
    assert (answer.status, answer.json()["error"]["code"], application.asked) == (431, "headers_too_large", 0)


async def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limits, "LONGEST_SILENCE_S", 0.05)
    told: list[Any] = []

    async def never() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        told.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"5")]}
    await RequestLimits(Application())(scope, never, send)
    assert told[0]["status"] == 408


async def test_waiting_for_the_client_to_go_has_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A view that takes long is no slow client."""
    monkeypatch.setattr(request_limits, "LONGEST_SILENCE_S", 0.01)

    async def patient(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        gone = asyncio.ensure_future(receive())
        await asyncio.wait([gone], timeout=0.05)
        waits = not gone.done()
        gone.cancel()
        await send({"type": "http.response.start", "status": 200 if waits else 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    messages = iter([{"type": "http.request", "body": b"x", "more_body": False}])
    told: list[Any] = []

    async def receive() -> Any:
        for message in messages:
            return message
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        told.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"1")]}
    await RequestLimits(patient)(scope, receive, send)
    assert told[0]["status"] == 200
