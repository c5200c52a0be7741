"""The process that owns the server: `python -m smartqueue.postgres.guardian DATA_DIR`.

Model: one guardian per data folder (`guardian_lock`) starts the postmaster as its child, starts it
again when it dies, and stops it when no process holds `users_lock` any more. If the guardian itself
is killed, the kernel asks the postmaster for a fast shutdown (Linux); elsewhere the server goes on
and the next guardian adopts it. What runs is judged by locks and connections, never by pids.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from smartqueue.postgres import cluster as disk
from smartqueue.postgres import identity
from smartqueue.postgres.binaries import EmbeddedPostgresError, find_bin_dir
from smartqueue.postgres.cluster import Cluster
from smartqueue.postgres.identity import RunAs
from smartqueue.postgres.locks import acquire, open_lock, try_lock

POLL_S = 0.1
STARTING_POLL_S = 0.03
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.2, 5.0
STOP_S = 60
LOG_LIMIT = 10_000_000

log = logging.getLogger("guardian")


class Guardian:
    def __init__(self, cluster: Cluster, way: RunAs) -> None:
        self.cluster = cluster
        self.way = way
        self.child: subprocess.Popen[bytes] | None = None
        self.ready: int | None = None
        # Opened once: after somebody removes the data folder, its users are still counted.
        self.users = open_lock(cluster.users_lock)
        self.told_to_stop = False
        self.next_start, self.backoff = 0.0, FIRST_BACKOFF_S

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        try:
            # Once acquired it is kept: a newcomer waits until this process ends, then starts a new guardian.
            while not self.told_to_stop and not acquire(self.users):
                self.step()
                time.sleep(STARTING_POLL_S if self.ready is None else POLL_S)
        finally:
            self._stop()

    def _on_signal(self, *_: object) -> None:
        self.told_to_stop = True

    def step(self) -> None:
        """Bring the server one step nearer to serving."""
        if self.child and self.child.poll() is not None:
            log.warning("the server ended with status %s", self.child.returncode)
            self.child = None
            self._not_ready()
        if self.child and self.ready is not None:
            return
        lock = try_lock(self.cluster.server_lock)
        if lock is not None:
            self._not_ready()
            self._start(lock)
        elif self.ready is None and disk.create_database(self.cluster):
            self.ready = try_lock(self.cluster.ready_lock)
            self.backoff = FIRST_BACKOFF_S

    def _start(self, lock: int) -> None:
        """Start the server; it inherits `lock`, of which our own copy is closed."""
        try:
            if time.monotonic() < self.next_start:
                return
            self.next_start = time.monotonic() + self.backoff
            self.backoff = min(self.backoff * 2, LONGEST_BACKOFF_S)
            disk.initialise(self.cluster, lambda command: self._launch(command, signal.SIGKILL, lock).wait())
            disk.take_ownership(self.cluster, identity.owner_of_files(self.way))
            disk.clear_leftovers(self.cluster)
            disk.make_socket_dir(self.cluster)
            self.child = self._launch(disk.server_command(self.cluster), signal.SIGINT, lock)
        finally:
            os.close(lock)

    def _launch(self, command: list[str], death_signal: signal.Signals, lock: int) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        setup = identity.child_setup(self.way, death_signal)
        return subprocess.Popen(command, env=environment, preexec_fn=setup, pass_fds=[lock])  # noqa: PLW1509

    def _not_ready(self) -> None:
        if self.ready is not None:
            os.close(self.ready)
            self.ready = None

    def _stop(self) -> None:
        """Fast shutdown, then an immediate one; both leave the data whole."""
        self._not_ready()
        for request in (signal.SIGINT, signal.SIGQUIT):
            deadline = time.monotonic() + STOP_S
            self._signal_server(request)
            while time.monotonic() < deadline:
                if self._server_is_gone():
                    disk.clear_leftovers(self.cluster)
                    return
                time.sleep(STARTING_POLL_S)

    def _server_is_gone(self) -> bool:
        # A postmaster outlives its own processes; the lock is asked only for one that is not our child.
        return self.child.poll() is not None if self.child else try_lock(self.cluster.server_lock) is not None

    def _signal_server(self, request: signal.Signals) -> None:
        if self.child:
            self.child.send_signal(request)
        elif disk.create_database(self.cluster) and (adopted := disk.postmaster_pid(self.cluster)):
            # It answers, so the pid in its file is its own.
            os.kill(adopted, request)


def main() -> None:
    cluster = _parse_arguments()
    try:
        disk.make_data_dir(cluster)
        disk.check_version(cluster)
        way = identity.choose(find_bin_dir() / "postgres", cluster.run_as)
        disk.make_socket_dir(cluster)
    except EmbeddedPostgresError as error:
        sys.exit(str(error))
    lock = _take_office(cluster)
    if lock is None:
        return
    _detach(cluster.log)
    os.truncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    log.info("guardian %d serves %s", os.getpid(), cluster)
    try:
        Guardian(cluster, way).run()
    except Exception:
        log.exception("guardian %d gives up", os.getpid())
        raise SystemExit(1) from None


def _parse_arguments() -> Cluster:
    parser = argparse.ArgumentParser(prog="python -m smartqueue.postgres.guardian")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--throwaway", action="store_true", help="skip fsync")
    parser.add_argument("--run-as", type=RunAs, choices=list(RunAs))
    given = parser.parse_args()
    return Cluster(given.data_dir.resolve(), durable=not given.throwaway, run_as=given.run_as)


def _take_office(cluster: Cluster) -> int | None:
    """The guardian's lock, or None if another has it; tried for a while, as `is_locked` takes it briefly."""
    for _ in range(10):
        if (lock := try_lock(cluster.guardian_lock)) is not None:
            return lock
        time.sleep(0.02)
    return None


def _detach(log_file: Path) -> None:
    """Leave the process that started us: our own session, the log as output, no folder kept busy."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    if log_file.exists() and log_file.stat().st_size > LOG_LIMIT:
        log_file.replace(log_file.with_suffix(".log.1"))
    output = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")


if __name__ == "__main__":
    main()
