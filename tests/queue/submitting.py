"""Submitting from tests: batches, threads with connections of their own, and a session that listens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
from django.db import connection

from jobs import services
from orgs.models import User
from tests.processes import database_url

NOOP: dict[str, Any] = {"name": "noop", "type": "python", "payload": {"function": "noop"}}


def many(user: User, *fields: dict[str, Any]) -> list[services.Submitted]:
    assert user.org is not None
    return services.submit_many(org=user.org, user=user, submissions=[{**NOOP, **one} for one in fields])


class Later(threading.Thread):
    """Runs a function in a thread with a connection of its own."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._outcome: list[Any] = []
        self.start()

    def run(self) -> None:
        try:
            self._outcome = [self._function(), None]
        except Exception as error:
            self._outcome = [None, error]
        finally:
            connection.close()

    def result(self) -> Any:
        self.join(timeout=30)
        assert self._outcome, "it did not end"
        value, error = self._outcome
        if error is not None:
            raise error
        return value


def at_once(functions: list[Callable[[], Any]]) -> list[Any]:
    threads = [Later(function) for function in functions]
    return [thread.result() for thread in threads]


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'")
        return bool(cursor.fetchone()[0])


def listener() -> psycopg.Connection:
    session = psycopg.connect(database_url(), autocommit=True)
    session.execute("LISTEN smartqueue_jobs")
    session.execute("LISTEN smartqueue_live")
    return session
