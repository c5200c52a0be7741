"""Short words for the tests of the queue: claim, end, and what it takes to meet a held lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from django.db import connection
from django.utils import timezone

from jobs import claims, leases
from jobs.claims import Claimed, Finish, Moved
from jobs.models import Job
from jobs.payloads import JOB_TYPES
from tests.waiting import wait_until

T = TypeVar("T")
Submit = Callable[..., Job]
LONG_AGO = timezone.now() - timedelta(days=1)
LATER = timezone.now() + timedelta(hours=1)  # every lease of a test has run out by then


def claim(worker: str = "w1", limit: int = 10, **fields: Any) -> list[Claimed]:
    return claims.claim(worker_id=worker, types=JOB_TYPES, limit=limit, lease_s=30, **fields)


def end(job: Claimed, ending: str = "done", worker: str = "w1", **fields: Any) -> list[Moved]:
    finish = Finish(job_id=job.id, attempt=job.attempt, ending=ending, runtime_ms=12.5, **fields)  # type: ignore[arg-type]
    return leases.finish(worker_id=worker, ended=[finish])


def ids(rows: Sequence[Claimed | Moved]) -> list[int]:
    return [row.id if isinstance(row, Claimed) else row.job_id for row in rows]


class InThread(threading.Thread):
    """Runs the function beside the test, on a connection of its own; `answer()` waits for what it returned."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._function = function
        self._answers: list[Any] = []
        self.start()

    def run(self) -> None:
        try:
            self._answers.append(self._function())
        except Exception as error:
            self._answers.append(error)
        finally:
            connection.close()

    def answer(self) -> Any:
        self.join(timeout=10)
        assert self._answers, "the other session still waits"
        if isinstance(self._answers[0], Exception):
            raise self._answers[0]
        return self._answers[0]


def wait_until_blocked() -> None:
    def blocked() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            return bool(cursor.fetchone()[0])

    wait_until(blocked, timeout=10, message="the other session never met the lock")
