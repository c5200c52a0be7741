"""`manage.py learn`: follow the executions and keep predictions fresh. The leader runs it; one is enough."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import Any

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from jobs.database import DATABASE_AWAY
from predictor.learning import Learning

logger = logging.getLogger(__name__)

LOCK = 0x5351_4C52  # advisory, of the one process that learns
EVERY_S = 5.0
AGAIN_S = 10.0  # after a failure
NICE = 15
NOT_NEEDED = 3  # exit code
AWAY = (*DATABASE_AWAY, psycopg.OperationalError, psycopg.InterfaceError)


class Command(BaseCommand):
    help = "Follow the executions: keep predictions fresh, retrain when it is time. The leader runs it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--with-parent", action="store_true", help="end at once when standard input is closed"
        )

    def handle(self, *, with_parent: bool, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        if with_parent:
            threading.Thread(target=_end_with_parent, daemon=True).start()
        os.nice(NICE)
        try:
            with psycopg.connect(settings.DATABASE_DIRECT_DSN, autocommit=True) as session:
                self._learn(session, stop)
        except AWAY as error:
            raise CommandError(f"The database is away: {str(error).strip()}") from error

    def _learn(self, session: psycopg.Connection, stop: threading.Event) -> None:
        locked = session.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
        if locked != (True,):
            raise CommandError(
                "Another process learns already; this one is not needed.", returncode=NOT_NEEDED
            )
        learning: Learning | None = None
        while not stop.is_set():
            session.execute("SELECT 1")  # with the session the lock is lost: then somebody else may learn
            try:
                learning = learning or Learning()
                for said in learning.step(time.monotonic()):
                    logger.info("action=learned what=%r", said)
            except Exception as error:
                # What it remembers may be half of something: it begins again from what is stored.
                learning = None
                logger.warning("action=learning_failed error=%r", error, exc_info=not isinstance(error, AWAY))
                connection.close()
                stop.wait(AGAIN_S)
            stop.wait(EVERY_S)


def _end_with_parent() -> None:
    """Whatever is being learned is lost with it: all of it can be learned again."""
    sys.stdin.buffer.read()
    os._exit(0)
