"""`manage.py runworker`: one worker process with a number of slots."""

from __future__ import annotations

import argparse
import asyncio
import signal
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.payloads import JOB_TYPES


class Command(BaseCommand):
    help = "Run a worker. SIGTERM or Ctrl-C lets its jobs end, a second one hands them back at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--types", default=",".join(JOB_TYPES), help="job types to run, comma-separated (all)"
        )
        parser.add_argument("--queues", help="queues to take jobs from, comma-separated (all)")
        parser.add_argument(
            "--concurrency", type=_positive, default=settings.WORKER_CONCURRENCY, help="jobs at once"
        )
        parser.add_argument(
            "--grace", type=float, default=settings.WORKER_GRACE_S, help="seconds jobs may go on at a stop"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from scheduler import metrics

        types = _named("--types", options["types"], f"some of {', '.join(JOB_TYPES)}")
        if unknown := sorted(set(types) - set(JOB_TYPES)):
            raise CommandError(
                f"--types: unknown {', '.join(unknown)}; expected some of {', '.join(JOB_TYPES)}."
            )
        queues = options["queues"]
        if queues is not None:
            queues = _named("--queues", queues, "names of queues, as in default,reports")
        metrics.serve()
        uvloop.run(_work(types, queues, options["concurrency"], options["grace"]))


async def _work(types: list[str], queues: list[str] | None, concurrency: int, grace_s: float) -> None:
    from scheduler.worker import Worker

    worker = Worker(types=types, queues=queues, concurrency=concurrency, grace_s=grace_s)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, worker.request_stop)
    await worker.run()


def _named(option: str, text: str, expected: str) -> list[str]:
    """The names in a comma-separated list, each once."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise CommandError(f"{option}: expected {expected}.")
    return names


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)
