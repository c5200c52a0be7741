"""`manage.py up`: the whole platform on this machine, with a demo organisation. What `make run` calls."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    help = "Start web server, two schedulers and a worker with a demo organisation; Ctrl-C stops everything."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
        parser.add_argument("--no-demo", action="store_true", help="make no demo people and jobs")

    def handle(self, *args: Any, **options: Any) -> None:
        from smartqueue.platform_up import Platform

        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        Platform(stop, say=self._say).run(workers=options["workers"], with_demo=not options["no_demo"])

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
