"""The second wall: row-level security in PostgreSQL, behind the tenant filter of `orgs.scoping`.

Inside `request()` each statement of this thread runs as the role ROLE, which cannot bypass the policies
(orgs.wall_operations), with the organisations that it may reach set for its transaction: none, until it is known who
asks. Web processes call `close_by_default`: there a statement outside of any request reaches none either. Workers,
schedulers and commands keep the role that they log in with, which owns the tables.

The two settings travel in front of each statement, in the same message: they end with its transaction, whether that is
the statement's own or a longer one, survive a savepoint that is rolled back, and mean nothing to the next client of a
pooled session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus

ROLE = "smartqueue_web"
SETTING = "smartqueue.orgs"
NOTHING, EVERYTHING = "", "*"

_SET = f"SELECT set_config('role', '{ROLE}', true), set_config('{SETTING}', '{{}}', true)"
_UNSET = f"SELECT set_config('role', 'none', true), set_config('{SETTING}', '', true)"
# Where a transaction has failed these are all that the server still takes.
_WITHOUT = ("ROLLBACK", "RELEASE")
_LEFT_ON = (
    "_walls_left_on"  # of a connection: its transaction may still have the settings of an earlier statement
)

# The value of SETTING; None: the process's own role, no wall.
_reach: ContextVar[str | None] = ContextVar("walls_reach")
_default: str | None = None


@contextmanager
def request() -> Iterator[None]:
    """A request begins: within the block nothing is reached until `narrow` or `widen` says for whom it is."""
    with _reaching(NOTHING):
        yield


def narrow(*org_ids: int | None) -> None:
    """It is known who sends the request: from here on rows of these organisations; None stands for none."""
    if reach() is not None:
        _reach.set(_as_setting(org_ids))


def widen() -> None:
    """It is known that a platform admin sends the request: from here on rows of every organisation."""
    if reach() is not None:
        _reach.set(EVERYTHING)


@contextmanager
def only(*org_ids: int | None) -> Iterator[None]:
    """Rows of these organisations alone; where there is no wall, none is raised."""
    with _reaching(None if reach() is None else _as_setting(org_ids)):
        yield


@contextmanager
def everything() -> Iterator[None]:
    """What has to look before it is known who asks, or beyond who asks: keep the block short."""
    with _reaching(None if reach() is None else EVERYTHING):
        yield


@contextmanager
def own_role() -> Iterator[None]:
    """What a process tells of itself, such as its metrics: as the role that it logs in with, behind no wall."""
    with _reaching(None):
        yield


def close_by_default() -> None:
    """From now on, statements of this process reach no organisation's rows unless a block says otherwise.

    Nor does it read by cursors of the server, as choices of forms do: they are several messages (see `_behind_wall`).
    """
    _set_default(NOTHING)


def open_by_default() -> None:
    """Takes `close_by_default` back, for a process that is no longer a server."""
    _set_default(None)


def _set_default(value: str | None) -> None:
    global _default
    _default = value
    connections.settings[DEFAULT_DB_ALIAS]["DISABLE_SERVER_SIDE_CURSORS"] = value is not None


def reach() -> str | None:
    """The value of SETTING for this thread's statements; None: no wall."""
    return _reach.get(_default)


def rows_of(statement: str, parameters: dict[str, Any], **how: Any) -> list[tuple[Any, ...]]:
    """What one statement answers, its parameters bound by the server; `how` goes to psycopg (prepare, binary).

    Raises Django's database errors. Behind the wall and outside a transaction it gets one of its own.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    connection.ensure_connection()
    raw: psycopg.Connection[Any] = connection.connection
    settings = _settings(connection, reach())
    with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
        with _with_settings(raw, settings, connection.in_atomic_block):
            cursor.execute(statement, parameters, **how)
        return cursor.fetchall()


@contextmanager
def _with_settings(raw: psycopg.Connection[Any], settings: str, in_transaction: bool) -> Iterator[None]:
    """Sent as they are, without psycopg's cursor: for a single submission it would cost as much as the wall itself."""
    if not settings or in_transaction:
        if settings:
            raw.execute(settings)
        yield
        return
    _send(raw, f"BEGIN; {settings}")
    try:
        yield
    except BaseException:
        if raw.pgconn.transaction_status != TransactionStatus.UNKNOWN:  # the connection is there
            raw.pgconn.exec_(b"ROLLBACK")
        raise
    _send(raw, "COMMIT")


def _send(raw: psycopg.Connection[Any], commands: str) -> None:
    result = raw.pgconn.exec_(commands.encode())
    if raw.pgconn.status != ConnStatus.OK:
        raise psycopg.OperationalError("the connection is lost")
    if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
        raise psycopg.errors.error_from_result(result, encoding="utf-8")


@contextmanager
def _reaching(value: str | None) -> Iterator[None]:
    token = _reach.set(value)
    try:
        yield
    finally:
        _reach.reset(token)


def _as_setting(org_ids: Iterable[int | None]) -> str:
    return ",".join(str(int(org_id)) for org_id in org_ids if org_id is not None)


def _settings(connection: BaseDatabaseWrapper, value: str | None) -> str:
    """What to send in front of a statement; empty where there is no wall, and none was left on."""
    if value is None and not getattr(connection, _LEFT_ON, False):
        return ""
    setattr(connection, _LEFT_ON, value is not None and connection.in_atomic_block)
    return _UNSET if value is None else _SET.format(value)


def _behind_wall(
    execute: Callable[..., Any], sql: Any, parameters: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Django calls this around each statement of a connection."""
    connection, cursor = context["connection"], context["cursor"].cursor
    if sql.startswith(_WITHOUT) or not (settings := _settings(connection, reach())):
        return execute(sql, parameters, many, context)
    if many or getattr(cursor, "name", None):
        # Several messages: only a transaction around them keeps the settings.
        if not connection.in_atomic_block:
            raise psycopg.ProgrammingError(
                "executemany and named cursors behind the wall need a transaction."
            )
        connection.connection.execute(settings)
        return execute(sql, parameters, many, context)
    result = execute(f"{settings}; {sql}", parameters, many, context)
    cursor.nextset()
    return result


def _watch(connection: BaseDatabaseWrapper, **rest: Any) -> None:
    if _behind_wall not in connection.execute_wrappers:
        connection.execute_wrappers.append(_behind_wall)


connection_created.connect(_watch, dispatch_uid="orgs.walls")
