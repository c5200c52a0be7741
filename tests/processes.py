"""Real processes of the product for tests: workers and schedulers on the test database, ended at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from django.db import connection

ROOT = Path(__file__).resolve().parent.parent


def database_url() -> str:
    """The database of the running test, as a DATABASE_URL for other processes."""
    parts = connection.settings_dict
    user, host, port = parts["USER"], parts["HOST"], parts["PORT"] or 5432
    password = f":{quote(parts['PASSWORD'])}" if parts["PASSWORD"] else ""
    if str(host).startswith("/"):
        return f"postgresql://{user}{password}@/{parts['NAME']}?host={quote(str(host), safe='')}&port={port}"
    return f"postgresql://{user}{password}@{host}:{port}/{parts['NAME']}"


class Processes:
    """Starts `manage.py` commands; remembers them so that none outlives the test."""

    def __init__(self, log_dir: Path, **environment: str) -> None:
        self.log_dir = log_dir
        self.environment = {
            **os.environ,
            "DATABASE_URL": database_url(),
            "SMARTQUEUE_DATABASE_DIRECT_URL": "",
            "PYTHONDEVMODE": "",
            "SMARTQUEUE_LEARNING": "false",
            "SMARTQUEUE_JOB_TYPES": "http,shell,etl,ml,python",
            **environment,
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        return self.spawn([sys.executable, str(ROOT / "manage.py"), *command], **environment)

    def spawn(
        self, command: list[str], pass_fds: tuple[int, ...] = (), **environment: str
    ) -> subprocess.Popen[bytes]:
        path = self.log_dir / f"{len(self.started)}.log"
        with path.open("wb") as log:
            process = subprocess.Popen(
                command,
                env={**self.environment, **environment},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        self.started.append(process)
        return process

    def output_of(self, process: subprocess.Popen[bytes]) -> str:
        return (self.log_dir / f"{self.started.index(process)}.log").read_text(errors="replace")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)

    def stop(self, process: subprocess.Popen[bytes], timeout: float = 30) -> int:
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=timeout)

    def end_all(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.started:
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.kill(process)


@contextmanager
def processes(log_dir: Path, **environment: str) -> Iterator[Processes]:
    made = Processes(log_dir, **environment)
    try:
        yield made
    finally:
        made.end_all()


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has reaped yet counts as gone."""
    if not Path("/proc/self").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
