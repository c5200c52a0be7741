"""SmartQueue on the bench: its database, jobs in bulk, its processes. Everything else uses it through this.

`use` must run before anything that imports Django's settings.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import starts
from bench.cluster import Server

if TYPE_CHECKING:
    from orgs.models import Organization, User

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "smartqueue"
SETTLE_S = 300
STOP_S = 60


def use(server: Server) -> None:
    """Point the settings at the bench's server and bring its database up to date."""
    for name in [name for name in os.environ if name.startswith("SMARTQUEUE_")]:
        del os.environ[name]
    os.environ |= {
        "DATABASE_URL": server.fresh_database(DATABASE),
        "DJANGO_SETTINGS_MODULE": "smartqueue.settings",
        "SMARTQUEUE_SECRET_KEY": secrets.token_urlsafe(48),
        "SMARTQUEUE_FUNCTIONS": "bench.functions",
        "SMARTQUEUE_LOG_LEVEL": "WARNING",
        "SMARTQUEUE_SNAPSHOT_WARN_S": "1",
        # Counted as in production, and never reached by a load of one user.
        "SMARTQUEUE_RATE_USER": "100000000/m",
        "SMARTQUEUE_RATE_ORG": "100000000/m",
    }
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)


def release() -> None:
    """Close the connections, so that the server can stop."""
    from django.db import connection

    connection.close_pool()  # type: ignore[attr-defined]


def switch(database: str) -> None:
    """From now on this process works in another database of the same server."""
    from django.db import connection

    connection.close()
    release()
    connection.settings_dict["NAME"] = database


def clear() -> None:
    """Remove all jobs and what belongs to them; the files of the tables start anew."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables"
            " WHERE tablename LIKE 'jobs\\_%%' AND schemaname = 'public'"
        )
        cursor.execute(f"TRUNCATE {cursor.fetchone()[0]} RESTART IDENTITY CASCADE")
        cursor.execute("CHECKPOINT")


def people(name: str) -> tuple[Organization, User]:
    """An organisation of this name with one user."""
    from jobs.payloads import JOB_TYPES
    from orgs import roles
    from orgs.models import Organization, User

    found = Organization.objects.filter(name=name).first()
    org = found or Organization.objects.create(name=name, job_types=list(JOB_TYPES))
    user = User.objects.filter(username=name).first()
    return org, user or User.objects.create_user(username=name, role=roles.USER, org=org)


def noop(org: Organization, user: User, key: int | None = None, **fields: Any) -> Any:
    """Submit one job that returns at once."""
    from jobs import services

    payload: dict[str, Any] = {"function": "bench.noop"} | ({} if key is None else {"args": [key]})
    return services.submit(
        org=org, user=user, **{"name": "noop", "type": "python", "payload": payload, **fields}
    )


def is_settled(org: Organization) -> bool:
    from jobs import states
    from jobs.models import Job

    return not Job.objects.filter(org=org, status__in=states.ACTIVE).exists()


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = SETTLE_S) -> None:
    """Poll every 50 ms; ends the bench when the condition does not come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {what}: not within {timeout_s:g} s.")
        time.sleep(0.05)


class Processes:
    """The processes that one measurement starts; `folder` holds their starts and their output."""

    def __init__(self, folder: Path) -> None:
        self.starts = folder / "starts"
        self.starts.mkdir()
        self._output = folder / "output.log"
        self._started: list[subprocess.Popen[bytes]] = []

    def manage(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start `manage.py ...`."""
        return self.start([sys.executable, str(ROOT / "manage.py"), *command], **environment)

    def start(self, command: list[str], **environment: str) -> subprocess.Popen[bytes]:
        surroundings = {
            **os.environ,
            starts.VARIABLE: str(self.starts),
            "PYTHONPATH": str(ROOT),
            "SMARTQUEUE_LEARNING": "false",  # a process at low priority, but not what is measured
            **environment,
        }
        with self._output.open("ab") as output:
            process = subprocess.Popen(
                command, env=surroundings, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self._started.append(process)
        return process

    def workers(self, count: int) -> list[subprocess.Popen[bytes]]:
        return [self.manage("runworker") for _ in range(count)]

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._started]

    def count(self) -> int:
        """Starts so far; ends the bench with its output when a process has died."""
        for process in self._started:
            if process.poll() not in (None, 0):
                raise SystemExit(f"bench: {process.args!r} ended with {process.returncode}:\n{self.tail()}")
        return starts.count(self.starts)

    def tail(self) -> str:
        return self._output.read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._started:
            try:
                process.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def processes() -> Iterator[Processes]:
    """A place for the processes of one measurement; they are ended and their files removed with it."""
    with tempfile.TemporaryDirectory(prefix="sq-bench-run-") as folder:
        made = Processes(Path(folder))
        try:
            yield made
        finally:
            made.stop()


def until_registered(count: int) -> None:
    """Until so many workers have said that they run."""
    from jobs.models import Worker

    wait_until(lambda: Worker.objects.filter(status=Worker.ACTIVE).count() >= count, f"{count} workers run")
