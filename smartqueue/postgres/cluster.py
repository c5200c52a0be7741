"""One cluster on disk: its paths, how it is made, with what options it is served.

Nothing here lives longer than a call; the guardian decides when to call what. Functions that change
the cluster's files expect their caller to hold `server_lock`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from smartqueue.postgres.binaries import EmbeddedPostgresError, find_bin_dir, major_version
from smartqueue.postgres.identity import RunAs

ROLE = DATABASE = "smartqueue"
WEB_ROLE = "smartqueue_web"  # orgs.walls.ROLE
SUPERUSER = "postgres"
# The port is only part of the socket's name; nothing listens on TCP.
PORT = 5432

OPTIONS = {
    "port": str(PORT),
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
THROWAWAY_OPTIONS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Cluster:
    """`data_dir` is absolute and resolved. `run_as` None: the first way that works."""

    data_dir: Path
    durable: bool = True
    run_as: RunAs | None = None

    @property
    def files(self) -> Path:
        return self.data_dir / "postgres"

    @property
    def log(self) -> Path:
        return self.data_dir / "postgres.log"

    @property
    def users_lock(self) -> Path:
        """Held shared by every process that needs the server; exclusively by a guardian that stops it."""
        return self.data_dir / "postgres.users"

    @property
    def guardian_lock(self) -> Path:
        return self.data_dir / "guardian.lock"

    @property
    def server_lock(self) -> Path:
        """Inherited by every process of the server, so it is free only when the last of them is gone."""
        return self.data_dir / "postgres.lock"

    @property
    def ready_lock(self) -> Path:
        """Held by the guardian while its server serves the application's role and database."""
        return self.data_dir / "postgres.ready"

    @property
    def socket_dir(self) -> Path:
        """Short and fixed: a socket's path must stay below 104 bytes wherever the data lies."""
        return Path(f"/tmp/smartqueue-{os.geteuid()}-{hashlib.sha256(bytes(self.data_dir)).hexdigest()[:10]}")  # noqa: S108

    def dsn(self, user: str = ROLE, database: str = DATABASE) -> str:
        return f"postgresql://{user}@{quote(str(self.socket_dir), safe='')}:{PORT}/{database}"


def make_data_dir(cluster: Cluster) -> None:
    folder = cluster.data_dir
    expected = f"SMARTQUEUE_DATA_DIR={folder}: expected a folder that belongs to the user who runs SmartQueue"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.stat().st_uid
    except OSError as error:
        raise EmbeddedPostgresError(f"{expected} ({error}).") from None
    if owner not in (0, os.geteuid()) or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise EmbeddedPostgresError(f"{expected}, it belongs to user {owner}.")


def make_socket_dir(cluster: Cluster) -> None:
    """Whoever enters this folder may connect without a password, so it must be ours alone."""
    folder = cluster.socket_dir
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise EmbeddedPostgresError(
            f"{folder}: expected a folder of user {os.geteuid()} that nobody else may enter, for the socket "
            "of PostgreSQL. Remove it, or set SMARTQUEUE_DATA_DIR to another folder."
        )


def check_version(cluster: Cluster) -> None:
    try:
        data = (cluster.files / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return
    if data != (programs := major_version()):
        raise EmbeddedPostgresError(
            f"{cluster.files} was made by PostgreSQL {data}, the installed programs are of {programs}. Carry "
            f"the data over with pg_dumpall of PostgreSQL {data}, or move the folder away to start empty."
        )


def initialise(cluster: Cluster, run: Callable[[list[str]], int]) -> None:
    """Make the files unless they are there; they appear whole, by a rename, or not at all."""
    if cluster.files.exists():
        return
    draft = cluster.files.with_suffix(".initdb")
    shutil.rmtree(draft, ignore_errors=True)
    command = [str(find_bin_dir() / "initdb"), f"--pgdata={draft}", f"--username={SUPERUSER}"]
    # The built-in C.UTF-8 knows upper and lower case beyond ASCII and is the same on every system.
    command += ["--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
    command += ["--auth-local=trust", "--auth-host=reject", "--no-instructions"]
    if not cluster.durable:
        # Small segments: most of a new cluster's time goes into writing the first one.
        command += ["--no-sync", "--wal-segsize=1"]
    if status := run(command):
        raise EmbeddedPostgresError(f"initdb failed with status {status}.")
    draft.rename(cluster.files)


def take_ownership(cluster: Cluster, uid: int) -> None:
    """Hand the files to `uid`: root may have run the server in another way before."""
    if cluster.files.stat().st_uid == uid:
        return
    for folder, _, names in os.walk(cluster.files, topdown=False):
        for name in names:
            os.lchown(os.path.join(folder, name), uid, -1)
        os.lchown(folder, uid, -1)


def clear_leftovers(cluster: Cluster) -> None:
    """Remove what a killed server left: PostgreSQL would take a zombie or a reused pid for a live one."""
    (cluster.files / "postmaster.pid").unlink(missing_ok=True)
    shutil.rmtree(cluster.socket_dir, ignore_errors=True)


def server_command(cluster: Cluster) -> list[str]:
    options = OPTIONS if cluster.durable else OPTIONS | THROWAWAY_OPTIONS
    command = [str(find_bin_dir() / "postgres"), "-D", str(cluster.files), "-k", str(cluster.socket_dir)]
    return command + [f"--{name}={value}" for name, value in options.items()]


def postmaster_pid(cluster: Cluster) -> int | None:
    """None unless the server says it is ready; to ask it earlier would only fill its log with refusals."""
    try:
        content = (cluster.files / "postmaster.pid").read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return None
    return int(content[0]) if content and content[-1] == "ready" else None


def create_database(cluster: Cluster) -> bool:
    """Make the roles and the database where they are missing; False while the server does not answer."""
    if postmaster_pid(cluster) is None:
        return False
    try:
        with psycopg.connect(cluster.dsn(SUPERUSER, "postgres"), autocommit=True, connect_timeout=5) as admin:
            if not admin.execute("SELECT FROM pg_roles WHERE rolname = %s", [ROLE]).rowcount:
                admin.execute(f"CREATE ROLE {ROLE} LOGIN NOSUPERUSER CREATEDB")
            if not admin.execute("SELECT FROM pg_roles WHERE rolname = %s", [WEB_ROLE]).rowcount:
                admin.execute(f"CREATE ROLE {WEB_ROLE} NOLOGIN; GRANT {WEB_ROLE} TO {ROLE}")
            if not admin.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount:
                admin.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
    except psycopg.OperationalError:
        return False
    return True


def log_tail(cluster: Cluster, lines: int = 15) -> str:
    try:
        return "\n".join(cluster.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"
