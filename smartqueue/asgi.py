"""ASGI entry point: pages, API and static files over HTTP, live pages over websockets."""

from __future__ import annotations

import gc
import os
from collections.abc import Awaitable, Callable
from typing import Any

from jobs.executors.prctl import hide_process
from smartqueue.http import get_http_application
from smartqueue.startup import start_database

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "smartqueue.settings")
hide_process()
start_database()
django_application = get_http_application()

# Only now: these import models.
from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator, WebsocketDenier  # noqa: E402
from django.conf import settings  # noqa: E402
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler  # noqa: E402
from django.urls import get_resolver, path, re_path  # noqa: E402
from servestatic import ServeStaticASGI  # noqa: E402

import analytics.live  # noqa: E402
import jobs.live  # noqa: E402
from orgs import walls  # noqa: E402
from smartqueue.quick_submit import QuickSubmit  # noqa: E402
from smartqueue.request_limits import RequestLimits  # noqa: E402


def _with_static_files(application: Any) -> Any:
    """Files that `collectstatic` gathered; straight from their sources while developing."""
    if settings.DEBUG or not settings.STATIC_ROOT.is_dir():
        return ASGIStaticFilesHandler(application)
    return ServeStaticASGI(
        application, root=settings.STATIC_ROOT, prefix=settings.STATIC_URL, allow_all_origins=False
    )


async def _lifespan(
    scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    walls.close_by_default()
    while True:
        phase = (await receive())["type"]
        await send({"type": f"{phase}.complete"})
        if phase == "lifespan.shutdown":
            walls.open_by_default()
            return


# The socket of a page has the page's own path behind /live; any other is refused.
sockets = URLRouter(
    [
        path("live/dashboard/", URLRouter([*jobs.live.sockets, *analytics.live.sockets])),
        re_path("", WebsocketDenier.as_asgi()),
    ]
)

application = ProtocolTypeRouter(
    {
        "http": RequestLimits(QuickSubmit(_with_static_files(django_application))),
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(sockets)),
        "lifespan": _lifespan,
    }
)

# What is loaded by now stays: no collection has to look at it again, as those during a request with many jobs would.
get_resolver().url_patterns  # noqa: B018 - imports all views
gc.collect()
gc.freeze()
