"""The embedded PostgreSQL: one real server per data folder, shared by all processes that hold it.

A process that needs the server calls `ensure_running` and keeps the `Hold`; the server stops soon after
the last hold is gone, by release or by death. `dsn` starts nothing and may be used in settings.
No Django here. A guardian process (guardian.py) does the work; this side only holds and waits.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from smartqueue.postgres.binaries import EmbeddedPostgresError
from smartqueue.postgres.cluster import Cluster, log_tail, make_data_dir
from smartqueue.postgres.identity import RunAs
from smartqueue.postgres.locks import is_locked, try_lock

__all__ = ["EmbeddedPostgresError", "Hold", "RunAs", "dsn", "ensure_running", "is_running"]

_ROOT = Path(__file__).resolve().parents[2]
_POLL_S = 0.03
_GUARDIANS_TRIED = 3


def dsn(data_dir: Path) -> str:
    """The URL under which the application's role reaches its database; nothing is started or touched."""
    return Cluster(data_dir.resolve()).dsn()


def is_running(data_dir: Path) -> bool:
    return is_locked(Cluster(data_dir.resolve()).ready_lock)


def ensure_running(
    data_dir: Path, *, durable: bool = True, wait_s: float = 60, run_as: RunAs | None = None
) -> Hold:
    """Start the server of `data_dir` unless it runs, wait until it serves, and hold it.

    `durable=False` skips fsync, for throw-away clusters. The options of whoever starts the server
    apply; later holders share it as it is. Raises EmbeddedPostgresError after `wait_s` seconds or
    as soon as it is clear that the server cannot start.
    """
    hold = Hold(Cluster(data_dir.resolve(), durable=durable, run_as=run_as))
    try:
        hold.ensure(wait_s)
    except BaseException:
        hold.release()
        raise
    return hold


class Hold:
    """One process's claim on the server; children made by fork without exec share it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._fd: int | None = None

    @property
    def dsn(self) -> str:
        return self._cluster.dsn()

    def ensure(self, wait_s: float = 60) -> None:
        """Bring the server back if it is away; two system calls while it is well."""
        deadline = time.monotonic() + wait_s
        self._take_hold(deadline)
        started = 0
        while not is_locked(self._cluster.ready_lock):
            if not is_locked(self._cluster.guardian_lock):
                if started == _GUARDIANS_TRIED:
                    raise self._failure(f"gave up {started} times")
                _start_guardian(self._cluster)
                started += 1
            if time.monotonic() > deadline:
                raise self._failure(f"did not serve within {wait_s:g} s")
            time.sleep(_POLL_S)

    def release(self, wait_s: float = 0) -> bool:
        """Give the claim back; with `wait_s`, wait up to so long for the server to stop. Whether it has."""
        if self._fd is not None:
            # No LOCK_UN: it would take the lock from forked children too.
            os.close(self._fd)
            self._fd = None
        deadline = time.monotonic() + wait_s
        while running := is_locked(self._cluster.guardian_lock):
            if time.monotonic() >= deadline:
                break
            time.sleep(_POLL_S)
        return not running

    def _take_hold(self, deadline: float) -> None:
        if self._fd is None:
            make_data_dir(self._cluster)
        while self._fd is None:
            self._fd = try_lock(self._cluster.users_lock, shared=True)
            if self._fd is None:
                if time.monotonic() > deadline:
                    raise self._failure("is still stopping")
                time.sleep(_POLL_S)

    def _failure(self, what: str) -> EmbeddedPostgresError:
        return EmbeddedPostgresError(
            f"The embedded PostgreSQL in {self._cluster.data_dir} {what}. "
            f"{self._cluster.log} ends with:\n{log_tail(self._cluster)}"
        )

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _start_guardian(cluster: Cluster) -> None:
    """Returns when the guardian runs on its own, or another one does; its refusals become our error."""
    command = [sys.executable, "-m", "smartqueue.postgres.guardian", str(cluster.data_dir)]
    command += [] if cluster.durable else ["--throwaway"]
    command += [f"--run-as={cluster.run_as}"] if cluster.run_as else []
    started = subprocess.run(command, cwd=_ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if started.returncode:
        raise EmbeddedPostgresError(started.stderr.decode(errors="replace").strip())
