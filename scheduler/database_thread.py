"""Django's database layer for an event loop: one thread with one connection, called one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.db import connection

from jobs.database import DATABASE_AWAY, replace_dead_connections

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseThread:
    """`await call(function, ...)` runs it on this thread; a failed call gives its connection up."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(_run, function, *args, **kwargs))

    async def close(self) -> None:
        await self.call(_give_connection_back)
        self._executor.shutdown(wait=True)


def _run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return function(*args, **kwargs)
    except BaseException as error:
        connection.close()
        if isinstance(error, DATABASE_AWAY):
            replace_dead_connections()
        raise


def _give_connection_back() -> None:
    # A function of its own: `connection` stands for the connection of the thread that looks it up.
    connection.close()
