"""What it looks like when PostgreSQL is away, and how a process gets over it.

After a restart of the server the pool still holds connections that died with it. It finds them one at
a time, waiting longer after each, so a few of them can use up a request's patience. Whoever meets the
first sign therefore has the whole pool looked through.
"""

from __future__ import annotations

import logging
import threading

import psycopg_pool
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

logger = logging.getLogger(__name__)

DATABASE_AWAY = (OperationalError, InterfaceError, psycopg_pool.PoolTimeout)
AWAY_S = 1.0  # how long a process that lives on waits before it tries again

# SQLSTATE classes of a session that ended or never began; an OperationalError of another class (a lock or
# statement timeout, a deadlock) says that one statement failed.
_SESSION_CLASSES = ("08", "53", "57P")

_looking = threading.Lock()


def lost_the_session(error: BaseException) -> bool:
    """Whether this error means that the connection is gone, and not just that a statement failed."""
    state = getattr(error.__cause__ or error, "sqlstate", None)
    return state is None or state.startswith(_SESSION_CLASSES)


def replace_dead_connections() -> None:
    """Have every idle connection of this process's pool tried, and replaced where it is dead.

    Returns at once: the work is done aside, by one thread at a time, because a server that hangs holds it up.
    """
    pool = connection.pool  # type: ignore[attr-defined]
    if pool is not None and _looking.acquire(blocking=False):
        try:
            threading.Thread(target=_look_through, args=(pool,), name="pool-check", daemon=True).start()
        except BaseException:
            _looking.release()
            raise


def _look_through(pool: psycopg_pool.ConnectionPool) -> None:
    try:
        pool.check()
    except Exception:
        logger.warning("action=pool_check_failed", exc_info=True)
    finally:
        _looking.release()


def use_own_session(options: str = "") -> None:
    """From here on this thread's connection is none of the pool's; `options` are PostgreSQL's, for its session."""
    kept = {name: value for name, value in connection.settings_dict["OPTIONS"].items() if name != "pool"}
    if options:
        kept["options"] = f"{kept.get('options', '')} {options}".strip()
    connection.settings_dict = {**connection.settings_dict, "OPTIONS": kept}


def has_own_session() -> bool:
    """Whether `use_own_session` was called in this thread, so that a session's own state can be relied on."""
    return "pool" not in connection.settings_dict["OPTIONS"]


def sessions_are_ours() -> bool:
    """A pooler hands sessions from one client to another, and would hand their settings on with them."""
    return bool(settings.DATABASE_DIRECT_DSN == settings.DATABASE_DSN)
