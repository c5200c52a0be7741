"""Django's database layer for an event loop: one thread with one connection, called one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

import psycopg
from django.db import connection

from jobs.database import DATABASE_AWAY, lost_the_session, replace_dead_connections, sessions_are_ours

P = ParamSpec("P")
T = TypeVar("T")

LONGEST_CALL_S = 15.0

# The statements of jobs.claims take batches of a few hundred ids. Whatever the statistics say, the one good plan is
# a nested loop over the primary key, made once.
PLANNER = "; ".join(
    f"SET {name}"
    for name in (
        "enable_seqscan = off",
        "enable_hashjoin = off",
        "enable_mergejoin = off",
        "jit = off",
        "plan_cache_mode = force_generic_plan",
    )
)


class DatabaseThread:
    """`await call(function, ...)` runs it on this thread; a failed call gives its connection up.

    A server that no longer answers (its machine vanished, a proxy forgot us) is noticed here: after
    LONGEST_CALL_S the socket is shut, and the call fails like any other that lost its connection.
    """

    def __init__(self, name: str, *, lock_timeout_s: float = 0.0) -> None:
        """`lock_timeout_s`: how long a statement waits for a lock before it fails; 0: for ever.

        Not kept behind a pooler, where a session has no settings of its own.
        """
        self._lock_timeout_s = lock_timeout_s
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._session: psycopg.Connection | None = None

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        work = partial(self._run, function, *args, **kwargs)
        running = asyncio.get_running_loop().run_in_executor(self._executor, work)
        done, _ = await asyncio.wait([running], timeout=LONGEST_CALL_S)
        if not done:
            self._shut_socket()
        return await running

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._executor, _give_connection_back)
        self._executor.shutdown(wait=True)

    def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            connection.ensure_connection()
            if connection.connection is not self._session:
                self._session = connection.connection
                with connection.wrap_database_errors:  # its end must look like that of any other call
                    _prepare(self._session, self._lock_timeout_s)
            return function(*args, **kwargs)
        except BaseException as error:
            self._session = None
            connection.close()
            if isinstance(error, DATABASE_AWAY) and lost_the_session(error):
                replace_dead_connections()
            raise

    def _shut_socket(self) -> None:
        """From outside the thread that waits on it: the one thing that is safe to do to its connection."""
        session = self._session
        if session is None or session.closed:
            return
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(session.fileno())) as ours,
        ):
            ours.shutdown(socket.SHUT_RDWR)


def _prepare(session: psycopg.Connection, lock_timeout_s: float = 0.0) -> None:
    if sessions_are_ours():
        session.execute(f"{PLANNER}; SET lock_timeout = {round(lock_timeout_s * 1000)}")
        session.prepare_threshold = 0


def _give_connection_back() -> None:
    # A function of its own: `connection` stands for the connection of the thread that looks it up.
    connection.close()
