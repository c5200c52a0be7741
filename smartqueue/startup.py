"""What happens before Django starts: the embedded PostgreSQL is brought up when no DATABASE_URL is set.

Called by manage.py, the ASGI and WSGI entry points. Commands that need no database start none. The
long-lived processes hide their environment, which holds secrets, from the shell jobs of the same user.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smartqueue import postgres

WITHOUT_DATABASE = {
    "collectstatic",
    "help",
    "version",
    "--help",
    "--version",
    "makemessages",
    "spectacular",
    "writedocs",
}


LONG_LIVED = {"up", "runscheduler", "runworker", "learn"}


def run_command(argv: list[str]) -> None:
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from jobs.executors.prctl import hide_process
    from smartqueue.postgres import EmbeddedPostgresError

    if len(argv) > 1 and argv[1] in LONG_LIVED:
        hide_process()
    try:
        if len(argv) > 1 and argv[1] not in WITHOUT_DATABASE:
            start_database()
        execute_from_command_line(argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Wrong setting: {error}")
    except EmbeddedPostgresError as error:
        sys.exit(str(error))


def start_database() -> None:
    """Hold the embedded PostgreSQL for the life of this process; nothing to do when DATABASE_URL is set.

    The hold is a shared file lock, so the kernel gives it back even after a kill -9.
    """
    from django.conf import settings

    global _held
    if settings.EMBEDDED_POSTGRES is None or _held is not None:
        return
    from smartqueue import postgres

    _held = postgres.ensure_running(settings.EMBEDDED_POSTGRES, durable=settings.EMBEDDED_POSTGRES_DURABLE)


def keep_database() -> None:
    """Bring the embedded PostgreSQL back if it was killed; cheap while it runs."""
    if _held is not None:
        _held.ensure()


def stop_database(wait_s: float = 5) -> bool:
    """Give the hold back; the server stops with its last user, for which this waits up to `wait_s` seconds.

    False: it goes on, somebody else holds it.
    """
    global _held
    stopped = True
    if _held is not None:
        stopped = _held.release(wait_s)
        _held = None
    return stopped


_held: postgres.Hold | None = None
