"""Refuses requests that are larger than any view takes, before a byte of their body is kept; and slow ones.

The handler spools a body to disk before it knows which view it is for. Smaller ones are held to their own limits there
(DATA_UPLOAD_MAX_MEMORY_SIZE, smartqueue.parsers). smartqueue.asgi puts it in front of everything.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from smartqueue.errors import Problem

# What JSON of 16 MiB, the largest that a view takes (jobs.bulk_api), needs; a view says it in its own words.
LARGEST_BODY = 17 * 1024 * 1024
LARGEST_HEADERS = 32 * 1024  # bytes, names and values together
LONGEST_SILENCE_S = 30.0  # between two pieces of a body

_BODY = Problem(413, "too_large", "The body of the request is too large.")
_HEADERS = Problem(431, "headers_too_large", f"The headers are too large: at most {LARGEST_HEADERS} bytes.")
_SLOW = Problem(
    408, "too_slow", f"The body of the request did not come: nothing for {LONGEST_SILENCE_S:g} s."
)


class Refused(Exception):
    """The body is not read any further."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class RequestLimits:
    """ASGI application for HTTP around `application`, which gets what is within the limits."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        problem = _problem_of_headers(scope["headers"])
        if problem is not None:
            await _refuse(problem, send)
            return
        if not _has_body(scope["headers"]):
            await self._application(scope, receive, send)
            return
        try:
            await self._application(scope, _Body(receive), send)
        except Refused as refused:
            await _refuse(refused.problem, send)


class _Body:
    """A `receive` that counts and does not wait for ever. Behind the body only the end of the connection comes."""

    def __init__(self, receive: Any) -> None:
        self._receive, self._size, self._more = receive, 0, True

    async def __call__(self) -> Any:
        if not self._more:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), LONGEST_SILENCE_S)
        except TimeoutError:
            raise Refused(_SLOW) from None
        self._more = message.get("more_body", False)
        self._size += len(message.get("body", b""))
        if self._size > LARGEST_BODY:
            raise Refused(_BODY)
        return message


def _problem_of_headers(headers: Any) -> Problem | None:
    if sum(len(name) + len(value) for name, value in headers) > LARGEST_HEADERS:
        return _HEADERS
    lengths = [value for name, value in headers if name == b"content-length"]
    return _BODY if any(value.isdigit() and int(value[:20]) > LARGEST_BODY for value in lengths) else None


def _has_body(headers: Any) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)


async def _refuse(problem: Problem, send: Any) -> None:
    """The connection is closed: what is left of the body would be read as the next request."""
    content = json.dumps(problem.body()).encode()
    headers = [
        (b"Content-Type", b"application/json"),
        (b"Content-Length", str(len(content)).encode()),
        (b"X-Content-Type-Options", b"nosniff"),
        (b"Connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
