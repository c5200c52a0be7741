"""A request in one thread: middleware, view and the return of the connection."""

from __future__ import annotations

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import connection
from pytest_django import Settings

from smartqueue.http import OneHopHandler
from tests.smartqueue import thread_urls
from tests.smartqueue.asgi_client import request

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.asyncio,
    pytest.mark.urls("tests.smartqueue.thread_urls"),
]


@pytest.fixture
def handler(settings: Settings) -> OneHopHandler:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.smartqueue.thread_urls.NotingThreads"]
    thread_urls.threads.clear()
    return OneHopHandler()


async def test_middleware_and_view_share_one_thread(handler: OneHopHandler) -> None:
    answer = await request(handler, "POST", "/told", body=b"hello", headers={"x-forwarded-for": "8.8.8.8"})
    assert answer.status == 403  # a form without its token: the chain is Django's own
    answer = await request(handler, "GET", "/told", body=b"hello")
    assert answer.json() == {"address": "127.0.0.1", "path": "/told", "body": "hello"}
    middleware, view = thread_urls.threads[-2:]
    assert middleware == view
    assert view.startswith("request")


async def test_connection_is_back_in_the_pool_when_the_answer_is_there(handler: OneHopHandler) -> None:
    await request(handler, "GET", "/told")
    stats = connection.pool.get_stats()  # type: ignore[attr-defined]
    assert stats["pool_available"] >= 1
    names = {thread.name for thread in handler._threads._threads}
    assert len(names) == 1
    assert handler._threads.submit(lambda: connection.connection).result() is None


async def test_streamed_answer_is_closed_after_its_last_part(handler: OneHopHandler) -> None:
    answer = await request(handler, "GET", "/streamed")
    assert answer.body == b"one two"
    assert thread_urls.threads[-1] == "closed"


async def test_body_beyond_the_limit_is_refused(handler: OneHopHandler, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert (await request(handler, "GET", "/told", body=b"x" * 11)).status == 413


async def test_client_that_leaves_before_its_body_gets_no_answer(handler: OneHopHandler) -> None:
    scope = {"type": "http", "method": "POST", "path": "/told", "query_string": b"", "headers": []}
    communicator = ApplicationCommunicator(handler, scope)
    await communicator.send_input({"type": "http.request", "body": b"x", "more_body": True})
    await communicator.send_input({"type": "http.disconnect"})
    await communicator.wait(10)
    assert communicator.output_queue.empty()
    assert thread_urls.threads == []
