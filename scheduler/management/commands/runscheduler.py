"""`manage.py runscheduler`: one scheduler. Run two or more; one leads, the others stand by."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Run a scheduler: it stands by until it is elected leader. Stops on SIGTERM or Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        from scheduler import metrics
        from scheduler.scheduler import Scheduler
        from scheduler.stopping import Stop

        stop = Stop()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        metrics.serve()
        Scheduler(stop).run()
