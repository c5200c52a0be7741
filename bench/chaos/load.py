"""The process that submits: `python -m bench.chaos.load KEYS_FILE RATE`.

It submits a steady mix until SIGTERM, and beside it what lines `KIND COUNT SECONDS` on its standard input
ask for. What cannot be submitted now is tried again with the same idempotency key, so that an outage
delays jobs but drops none. Each key whose submission was acknowledged is a line of the keys file, with
its kind; the ledger holds the database to that.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

from bench.chaos.mix import MIX, fields

RETRY_S = 0.1


class Submitter:
    """Submits as one user of one organisation; `submit` returns only when the job is stored."""

    def __init__(self, keys: TextIO, name: str) -> None:
        from jobs.payloads import JOB_TYPES
        from orgs import roles
        from orgs.models import Organization, User

        self._keys = keys
        self._prefix = f"{os.getpid()}-{name}"
        self._org, _ = Organization.objects.get_or_create(
            name="chaos", defaults={"job_types": list(JOB_TYPES)}
        )
        self._user = User.objects.filter(username="bob").first() or User.objects.create_user(
            username="bob", role=roles.USER, org=self._org
        )
        self._numbers = itertools.count(1)

    def submit(self, kind: str, seconds: float = 0) -> None:
        key = f"{self._prefix}-{next(self._numbers)}"
        while not self._tried(fields(kind, seconds) | {"idempotency_key": key}):
            time.sleep(RETRY_S)
        self._keys.write(f"{key} {kind}\n")
        self._keys.flush()

    def _tried(self, values: dict[str, Any]) -> bool:
        from django.db import connection

        from jobs import services
        from jobs.database import DATABASE_AWAY, replace_dead_connections

        try:
            services.submit(org=self._org, user=self._user, **values)
        except DATABASE_AWAY:
            connection.close()
            replace_dead_connections()
            return False
        return True


def submit_steadily(submitter: Submitter, rate: float, stop: threading.Event) -> None:
    """One job every 1 / rate seconds; after an outage what is overdue comes at once."""
    began = time.monotonic()
    for number, kind in enumerate(itertools.cycle(MIX)):
        if stop.wait(max(0.0, began + number / rate - time.monotonic())):
            return
        submitter.submit(kind)


def submit_what_is_asked(submitter: Submitter, requests: TextIO) -> None:
    for line in requests:
        kind, count, seconds = line.split()
        for _ in range(int(count)):
            submitter.submit(kind, float(seconds))


def main() -> None:
    import django

    django.setup()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    path, rate = Path(sys.argv[1]), float(sys.argv[2])
    # A line of a file that was opened to append is written as a whole, whoever else writes.
    with path.open("a", encoding="ascii") as steady, path.open("a", encoding="ascii") as asked:
        beside = Submitter(asked, "asked")
        threading.Thread(target=submit_what_is_asked, args=(beside, sys.stdin), daemon=True).start()
        submit_steadily(Submitter(steady, "steady"), rate, stop)


if __name__ == "__main__":
    main()
