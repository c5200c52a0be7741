"""Django's side of HTTP: a request crosses from the event loop into a thread once, and comes back once.

Django's own ASGI handler hands each synchronous middleware, view and signal to a thread of the request's
own; under it a request cost two to three times as much as under WSGI. Views and middleware here are
synchronous, so the whole chain runs in one thread of a pool, as it would under a WSGI server.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.http import HttpResponseBase
from django.urls import set_script_prefix

# More than connections in the pool: probes are answered while requests wait for the database.
THREADS = 64


class OneHopHandler(ASGIHandler):
    """`ASGIHandler` with the chain of a WSGI handler."""

    def __init__(self) -> None:
        super().__init__()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with body:
            run = asyncio.get_running_loop().run_in_executor
            response = await run(self._threads, self._answer, scope, body)
            await self.send_response(response, send)
            if response.streaming:
                await run(self._threads, response.close)

    def _answer(self, scope: Any, body: Any) -> HttpResponseBase:
        """The response, finished (and its connection back in the pool) unless it is still to be streamed."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=self.__class__, scope=scope)
        request, response = self.create_request(scope, body)
        if request is not None:
            response = self.get_response(request)
        assert response is not None
        response._handler_class = self.__class__  # type: ignore[attr-defined]
        if not response.streaming:
            response.close()
        return response


def get_http_application() -> OneHopHandler:
    """As `get_asgi_application`."""
    django.setup(set_prefix=False)
    return OneHopHandler()
