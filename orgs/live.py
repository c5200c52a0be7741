"""Live pages: what a page shows is what its socket sends. Knows nothing of jobs.

A LiveView names the fragments of one page ({name: template}) and loads one object per name. The page
(`orgs.pages.LivePage`) includes these templates; OrgConsumer renders the same ones and sends those whose
HTML differs from what it sent last. It looks again when `orgs.listening` says that its organisation
changed, and on a slow tick, which covers ages, heartbeats and lost notifications.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any, ClassVar

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError
from django.http import HttpRequest, QueryDict
from django.template.loader import render_to_string

from orgs import listening, walls
from orgs.admission import admit
from orgs.exceptions import SmartQueueError
from orgs.models import User
from orgs.see_as import looking_as
from orgs.standing import comes_in

TICK_S = 5.0
SIMULTANEOUS_RENDERS = 2

# Close codes: the browser loads the page again after ENDED, and reconnects after the other two.
ENDED = 4401
TRY_AGAIN = 1013
FAILED = 1011

logger = logging.getLogger(__name__)


class LiveView(ABC):
    """The live part of one page. The root element of each fragment has an id, by which it is replaced."""

    fragments: ClassVar[Mapping[str, str]]
    action_needed: ClassVar[str] = ""
    min_interval_s: ClassVar[float] = 0.25

    @abstractmethod
    def load(self, user: User, query: QueryDict, **kwargs: Any) -> dict[str, Any]:
        """One object per fragment, by name; raises NotFound when `user` may not see it."""

    def render(self, user: User, query: QueryDict, **kwargs: Any) -> dict[str, str]:
        """The HTML of each fragment, by name."""
        objects = self.load(user, query, **kwargs)
        return {
            name: render_to_string(template, {name: objects[name]})
            for name, template in self.fragments.items()
        }


class Ended(Exception):
    """The session or the membership is over, or what the page showed is gone."""


def group_of(user: User | AnonymousUser) -> str | None:
    """The group whose messages concern `user`; None for whoever may see no organisation."""
    if not user.is_authenticated or not user.is_active:
        return None
    if user.sees_all:
        return listening.ALL_ORGS
    return listening.group_name(user.seen_org_id) if user.seen_org_id else None


class OrgConsumer(AsyncWebsocketConsumer):
    """The socket of one live page: `OrgConsumer.as_asgi(view=...)`. Refuses visitors and strangers (403)."""

    def __init__(self, view: LiveView) -> None:
        super().__init__()
        self.view = view
        self._changed = asyncio.Event()
        self._sent: dict[str, str] = {}
        self._held = AsyncExitStack()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        # Released here and not in `disconnect`, which a cancelled application never reaches.
        async with self._held:
            await super().__call__(scope, receive, send)

    async def connect(self) -> None:
        # AuthMiddleware has read the session: nothing here waits for the database.
        group = group_of(looking_as(self.scope["user"], self.scope["session"]))
        if group is None:
            await self.close()
            return
        # Joined before the first look, so that a change in between is a second look and not a lost one.
        await self._join(group)
        try:
            self._render = self._renderer(group)
            first = await self._render()
        except (Ended, SuspiciousOperation, DatabaseError):
            await self.close()
            return
        await self.accept()
        await self._send_changes(first)
        task = asyncio.create_task(self._keep_fresh())
        self._held.push_async_callback(_cancel, task)

    async def live_changed(self, message: Mapping[str, Any]) -> None:
        self._changed.set()

    async def _join(self, group: str) -> None:
        for name in (group, listening.EVERYBODY):
            await self.channel_layer.group_add(name, self.channel_name)
            self._held.push_async_callback(self.channel_layer.group_discard, name, self.channel_name)
        await self._held.enter_async_context(listening.listener())

    def _renderer(self, group: str) -> Callable[[], Awaitable[dict[str, str]]]:
        session_key = self.scope["session"].session_key
        query = QueryDict(self.scope["query_string"])
        kwargs = self.scope["url_route"]["kwargs"]
        return lambda: _render_in_thread(self.view, group, session_key, query, kwargs)

    async def _keep_fresh(self) -> None:
        """Until the socket closes: waits between two looks, and looks again after the last change."""
        try:
            while True:
                await self._until_changed_or_tick()
                await self._send_changes(await self._render())
                await asyncio.sleep(self.view.min_interval_s)
        except Ended:
            await self.close(ENDED)
        except DatabaseError as error:
            logger.warning("live pages: the database did not answer: %s", error)
            await self.close(TRY_AGAIN)
        except OSError:
            return  # The client is gone; its disconnect message is on the way.
        except Exception:
            logger.exception("live pages: a fragment could not be rendered")
            await self.close(FAILED)

    async def _until_changed_or_tick(self) -> None:
        try:
            async with asyncio.timeout(TICK_S):
                await self._changed.wait()
        except TimeoutError:
            return
        # Before the look, not after it: a change during the look asks for another one.
        self._changed.clear()

    async def _send_changes(self, fragments: dict[str, str]) -> None:
        changed = [html for name, html in fragments.items() if self._sent.get(name) != html]
        if changed:
            self._sent = fragments
            await self.send(text_data="".join(changed))


def _fragments_for_session(
    view: LiveView, group: str, session_key: str, query: QueryDict, kwargs: dict[str, Any]
) -> dict[str, str]:
    """The one function of a socket that touches the database: who is it still, and what do they see now?"""
    with walls.request():
        user = _user_of(session_key)
        if not isinstance(user, User) or group_of(user) != group:
            raise Ended
        if not comes_in(user) or (view.action_needed and not user.may(view.action_needed)):
            raise Ended
        admit(user)
        try:
            return view.render(user, query, **kwargs)
        except SmartQueueError:
            raise Ended from None


def _user_of(session_key: str) -> User | AnonymousUser:
    """The user of a session as it is now; anonymous after logout, expiry, a new password or deactivation."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    return looking_as(get_user(request), request.session)


_threads = ThreadPoolExecutor(SIMULTANEOUS_RENDERS, thread_name_prefix="live")
# Own threads: sockets neither wait for each other in asgiref's one shared thread nor take the whole
# connection pool from the requests.
_render_in_thread = database_sync_to_async(
    _fragments_for_session,
    thread_sensitive=False,
    executor=_threads,
)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
