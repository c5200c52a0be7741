"""`manage.py runworker`: one worker process with a number of slots."""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.payloads import JOB_TYPES
from jobs.submission import QUEUE_NAME, SENTENCES

LONGEST_GRACE_S = 3600.0  # as SMARTQUEUE_WORKER_GRACE_S


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
            "--grace", type=_seconds, default=settings.WORKER_GRACE_S, help="seconds jobs may go on at a stop"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        from scheduler import metrics

        types = _named("--types", options["types"], f"some of {', '.join(JOB_TYPES)}")
        if unknown := sorted(set(types) - set(JOB_TYPES)):
            raise CommandError(
                f"--types: unknown {', '.join(unknown)}; expected some of {', '.join(JOB_TYPES)}."
            )
        queues = None if options["queues"] is None else _queues(options["queues"])
        metrics.serve()
        uvloop.run(_work(types, queues, options["concurrency"], options["grace"]))


async def _work(types: list[str], queues: list[str] | None, concurrency: int, grace_s: float) -> None:
    from scheduler.worker import Worker

    worker = Worker(types=types, queues=queues, concurrency=concurrency, grace_s=grace_s)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, worker.request_stop)
    await worker.run()


def _queues(text: str) -> list[str]:
    expected = "names of queues, as in default,reports"
    names = _named("--queues", text, expected)
    if wrong := [name for name in names if not re.fullmatch(QUEUE_NAME, name)]:
        rule = SENTENCES["string_pattern_mismatch"]
        raise CommandError(
            f"--queues: {', '.join(map(repr, wrong))} cannot be used; expected {expected}. {rule}"
        )
    return names


def _named(option: str, text: str, expected: str) -> list[str]:
    """The names in a comma-separated list, each once."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    if "" in names:
        raise CommandError(f"{option}: expected {expected}; a name is empty in {text!r}.")
    return names


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= LONGEST_GRACE_S:
        raise argparse.ArgumentTypeError(
            f"expected a number of seconds from 0 to {LONGEST_GRACE_S:g}, got {text!r}"
        )
    return value
