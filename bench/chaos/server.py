"""A PostgreSQL server that a scenario may stop, kill and fill up: a child of this process, in a folder of its own.

It has no guardian: what has stopped stays stopped until `start`. Durable unless told otherwise, and even
then a commit that was acknowledged survives any end of the server's processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg

from smartqueue.postgres import cluster as disk
from smartqueue.postgres import identity
from smartqueue.postgres.binaries import find_bin_dir
from smartqueue.postgres.cluster import SUPERUSER, Cluster

START_S = 60.0
STOP_S = 60.0
MAX_CONNECTIONS = 60


class Server:
    """`create` once, then `start` and `stop` as often as wanted."""

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.cluster = Cluster(folder.resolve(), durable=durable)
        self.url = self.cluster.dsn()
        self._way = identity.choose(find_bin_dir() / "postgres")
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        disk.make_data_dir(self.cluster)
        disk.initialise(self.cluster, lambda command: self._launch(command).wait())
        disk.take_ownership(self.cluster, identity.owner_of_files(self._way))

    def start(self) -> None:
        """Returns when it serves. Raises TimeoutError with the end of its log."""
        disk.clear_leftovers(self.cluster)
        disk.make_socket_dir(self.cluster)
        options = [f"--max_connections={MAX_CONNECTIONS}", "--synchronous_commit=on"]
        self._process = self._launch(disk.server_command(self.cluster) + options)
        deadline = time.monotonic() + START_S
        while not disk.create_database(self.cluster):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL does not start: {disk.log_tail(self.cluster)}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: sessions are ended and a checkpoint is written; SIGQUIT: at once, as in a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=STOP_S)
            self._process = None
        disk.clear_leftovers(self.cluster)

    def ask(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows, by a superuser's session of its own: PostgreSQL keeps slots free for those."""
        with self.session() as session:
            cursor = session.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def session(self) -> psycopg.Connection:
        dsn = self.cluster.dsn(user=SUPERUSER)
        return psycopg.connect(dsn, autocommit=True, connect_timeout=10, application_name="chaos")

    def _launch(self, command: list[str]) -> subprocess.Popen[bytes]:
        """The server ends with us, however we end."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        setup = identity.child_setup(self._way, signal.SIGINT)
        with self.cluster.log.open("ab") as log:
            return subprocess.Popen(
                command,
                env=environment,
                preexec_fn=setup,  # noqa: PLW1509 - while this process has one thread
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
