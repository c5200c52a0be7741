"""The bench's own PostgreSQL: durable, in a temporary folder, the same settings for everybody on it.

`running` starts the product's embedded programs directly, because the bench wants larger buffers than
the product's default; the server dies with the bench (the kernel asks it to), and its folder is removed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from smartqueue.postgres import cluster as disk
from smartqueue.postgres import identity
from smartqueue.postgres.binaries import find_bin_dir

SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB"}
START_S = 60


@dataclass(frozen=True)
class Server:
    """A running server; `pid` is its first process, the parent of all others."""

    socket_dir: Path
    pid: int

    def dsn(self, database: str) -> str:
        return f"postgresql://{disk.ROLE}@{quote(str(self.socket_dir), safe='')}:{disk.PORT}/{database}"

    def environment(self, database: str) -> dict[str, str]:
        """Variables by which any PostgreSQL client finds `database`."""
        return {
            "PGHOST": str(self.socket_dir),
            "PGPORT": str(disk.PORT),
            "PGUSER": disk.ROLE,
            "PGDATABASE": database,
        }

    def version(self) -> str:
        with psycopg.connect(self.dsn("postgres")) as session:
            return f"PostgreSQL {session.info.server_version // 10000}, " + ", ".join(
                f"{name}={value}" for name, value in SETTINGS.items()
            )

    def fresh_database(self, name: str, template: str = "template1") -> str:
        """Make (again) a database, empty or a copy of `template` (which nobody may use now); return its DSN."""
        self.drop_database(name)
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as session:
            names = sql.Identifier(name), sql.Identifier(template)
            session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as session:
            session.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def running() -> Iterator[Server]:
    """A durable server for the length of the block."""
    folder = Path(tempfile.mkdtemp(prefix="sq-bench-")).resolve()
    process: subprocess.Popen[bytes] | None = None
    cluster = disk.Cluster(folder)
    try:
        process = _start(cluster)
        yield Server(cluster.socket_dir, process.pid)
    finally:
        if process is not None:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
        shutil.rmtree(cluster.socket_dir, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _start(cluster: disk.Cluster) -> subprocess.Popen[bytes]:
    way = identity.choose(find_bin_dir() / "postgres")

    def launch(command: list[str]) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        setup = identity.child_setup(way, signal.SIGINT)
        with cluster.log.open("ab") as log:
            return subprocess.Popen(
                command,
                env=environment,
                preexec_fn=setup,  # noqa: PLW1509 - no thread runs yet
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    disk.initialise(cluster, lambda command: launch(command).wait())
    disk.take_ownership(cluster, identity.owner_of_files(way))
    disk.make_socket_dir(cluster)
    options = [f"--{name}={value}" for name, value in SETTINGS.items()]
    process = launch([*disk.server_command(cluster), *options])
    _until_ready(cluster, process)
    _grant(cluster)
    return process


def _until_ready(cluster: disk.Cluster, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while not disk.create_database(cluster):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"The bench's PostgreSQL did not start:\n{disk.log_tail(cluster)}")
        time.sleep(0.05)


def _grant(cluster: disk.Cluster) -> None:
    """The application's role may read what other sessions do, and ask for checkpoints between measurements."""
    with psycopg.connect(cluster.dsn(disk.SUPERUSER, "postgres"), autocommit=True) as admin:
        admin.execute(f"GRANT pg_monitor, pg_checkpoint TO {disk.ROLE}")
