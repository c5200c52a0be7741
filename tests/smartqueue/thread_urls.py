"""Paths that tell how they are run. For test_http."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, reverse

from smartqueue.errors import handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500"]

threads: list[str] = []


class NotingThreads:
    """A middleware, for the thread that it is run in."""

    def __init__(self, get_response: object) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        threads.append(threading.current_thread().name)
        return self.get_response(request)  # type: ignore[operator]


def told(request: HttpRequest) -> JsonResponse:
    threads.append(threading.current_thread().name)
    connection.ensure_connection()
    told = {"address": request.META["REMOTE_ADDR"], "path": reverse("told"), "body": request.body.decode()}
    return JsonResponse(told)


async def _parts() -> AsyncIterator[bytes]:
    for part in (b"one ", b"two"):
        yield part


def streamed(request: HttpRequest) -> StreamingHttpResponse:
    response = StreamingHttpResponse(_parts())
    response._resource_closers.append(lambda: threads.append("closed"))  # type: ignore[attr-defined]
    return response


urlpatterns = [path("told", told, name="told"), path("streamed", streamed)]
