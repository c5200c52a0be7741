"""One HTTP request to an ASGI application, and its answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from asgiref.testing import ApplicationCommunicator

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def request(
    application: Any, method: str, path: str, *, body: bytes = b"", headers: dict[str, str] | None = None
) -> Answer:
    path, _, query = path.partition("?")
    given = {"host": "localhost", "content-length": str(len(body)), **(headers or {})}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": query.encode(),
        "client": ["127.0.0.1", 50_000],
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    communicator = ApplicationCommunicator(application, scope)
    half = len(body) // 2
    await communicator.send_input({"type": "http.request", "body": body[:half], "more_body": True})
    await communicator.send_input({"type": "http.request", "body": body[half:]})
    start = await communicator.receive_output(TIMEOUT_S)
    parts = []
    while True:
        message = await communicator.receive_output(TIMEOUT_S)
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    await communicator.wait(TIMEOUT_S)
    found = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(parts))
