"""A socket whose fragments cannot be rendered is closed, with a code that makes the browser try again."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from django.db import connection
from django.http import QueryDict
from django.urls import path

from orgs import live
from orgs.live import LiveView, OrgConsumer
from orgs.models import User
from tests.live.conftest import OpenSocket

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio,
    pytest.mark.usefixtures("_fast_tick"),
]


class Fragile(LiveView):
    """Renders once; what happens at the second look is `trouble`."""

    fragments: ClassVar = {"error": "errors/error.html"}

    def __init__(self, trouble: str) -> None:
        self.trouble = trouble
        self.looks = 0

    def load(self, user: User, query: QueryDict, **kwargs: Any) -> dict[str, Any]:
        self.looks += 1
        if self.looks > 1:
            getattr(self, self.trouble)()
        return {"error": ""}

    def lose_the_database(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    def divide_by_zero(self) -> None:
        _ = 1 / 0


@pytest.mark.parametrize(
    ("trouble", "code"), [("lose_the_database", live.TRY_AGAIN), ("divide_by_zero", live.FAILED)]
)
async def test_trouble_closes_the_socket(open_socket: OpenSocket, bob: User, trouble: str, code: int) -> None:
    consumer = OrgConsumer.as_asgi(view=Fragile(trouble))
    socket = await open_socket(
        "/fragile/", bob, to=AuthMiddlewareStack(URLRouter([path("fragile/", consumer)]))
    )
    assert await socket.connect()
    assert await socket.close_code() == code
