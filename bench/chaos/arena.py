"""Where a scenario takes place: a PostgreSQL server, two workers, two schedulers and a steady load.

Every process is a child of this one, is ended by its pid, and dies with it. Used as a context manager;
the folder with data and logs is removed at the end.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from bench.chaos.processes import WAIT_S, Process, Processes, end, manage, wait_for
from bench.chaos.server import Server

SLOTS = 6


class Arena:
    """`rate` is what the steady load submits per second."""

    def __init__(self, *, rate: float, durable: bool = True) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sq-chaos-"))
        self.keys_file = self.folder / "keys"
        self.server = Server(self.folder / "data", durable=durable)
        self.rate = rate
        self.workers: list[Process] = []
        self.schedulers: list[Process] = []
        self._load: Process | None = None
        self._processes = Processes(self.folder, self.server.url)

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            for words in self.ended:
                print(f"chaos: {words}")
        self.close()

    def close(self) -> None:
        self._processes.end_all()
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start_worker(
        self, index: int | None = None, *, before: Sequence[str] = (), **environment: str
    ) -> Process:
        """A worker in this place (None: one more); `before` is a command that starts the rest of its line."""
        command = [*before, *manage("runworker"), "--concurrency", str(SLOTS)]
        return _put(self.workers, index, self._processes.start(command, "worker", **environment))

    def replace_worker(self, place: int, *, before: Sequence[str] = (), **environment: str) -> Process:
        """A clean stop of the worker in this place, and a new one."""
        old = self.workers[place]
        old.terminate()
        new = self.start_worker(place, before=before, **environment)
        old.wait(WAIT_S)
        return new

    def start_scheduler(self, index: int | None = None, **environment: str) -> Process:
        return _put(
            self.schedulers, index, self._processes.start(manage("runscheduler"), "scheduler", **environment)
        )

    def submit(self, kind: str, count: int, seconds: float = 0) -> None:
        """Some jobs more, beside the steady load; returns when they are stored."""
        assert self._load is not None
        assert self._load.stdin is not None
        before = self._acknowledged(kind)
        self._load.stdin.write(f"{kind} {count} {seconds}\n".encode())
        self._load.stdin.flush()
        wait_for(lambda: self._acknowledged(kind) >= before + count, f"{count} jobs are stored")

    def _acknowledged(self, kind: str) -> int:
        lines = self.keys_file.read_text(encoding="ascii").splitlines()
        return sum(line.endswith(f" {kind}") for line in lines)

    def stop_load(self) -> None:
        """Returns when the job that is being submitted is stored."""
        if self._load is not None:
            self._load.terminate()
            end(self._load)
            self._load = None

    @property
    def ended(self) -> list[str]:
        """What should run and does not, with the end of its log: no fault may end a worker, scheduler or the load."""
        expected = [*self.workers, *self.schedulers, *([self._load] if self._load else [])]
        gone = [one for one in expected if one.poll() is not None]
        return [f"{self._processes.name_of(one)} ended:\n{self._processes.tail_of(one)}" for one in gone]

    def ask(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.server.ask(statement, *parameters)

    def number(self, statement: str, *parameters: Any) -> float:
        """The first column of the first row; 0 for NULL or no row."""
        rows = self.ask(statement, *parameters)
        return float(rows[0][0] or 0) if rows else 0.0

    def worker_id(self, worker: Process) -> str:
        """Waited for: the worker may just have started."""
        known = "SELECT worker_id FROM jobs_worker WHERE pid = %s"
        return str(wait_for(lambda: self.ask(known, worker.pid), "the worker registers")[0][0])

    def running_on(self, worker: Process) -> int:
        """Jobs that this worker holds."""
        return int(
            self.number(
                "SELECT count(*) FROM jobs_job j JOIN jobs_worker w USING (worker_id) "
                "WHERE j.status = 'running' AND w.pid = %s",
                worker.pid,
            )
        )

    def sessions_of(self, process: Process) -> list[int]:
        """Backends that serve this process."""
        rows = self.ask(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s OR application_name LIKE %s",
            self._processes.name_of(process),
            f"%%:{process.pid}:%%",  # schedulers name their sessions themselves
        )
        return [pid for (pid,) in rows]

    def leader(self) -> tuple[int, int]:
        """Pid and term of the scheduler that leads; zeros before the first term."""
        rows = self.ask("SELECT worker_id, term FROM jobs_schedulerleader")
        return (int(rows[0][0].split(":")[1]), int(rows[0][1])) if rows else (0, 0)

    def leading(self) -> Process:
        """The scheduler of ours that leads, waited for."""
        return wait_for(lambda: self._process(self.leader()[0]), "one of the schedulers leads")

    def finished(self) -> int:
        return int(self.number("SELECT count(*) FROM jobs_job WHERE finished_at IS NOT NULL"))

    def _process(self, pid: int) -> Process | None:
        return next((one for one in self.schedulers if one.pid == pid and one.poll() is None), None)

    def _build(self) -> None:
        self.server.create()
        self.server.start()
        self._processes.run(manage("migrate", "--verbosity", "0"))
        for _ in range(2):
            self.start_scheduler()
            self.start_worker()
        self.start_load()
        self.wait_until_working()

    def start_load(self, **environment: str) -> None:
        command = [sys.executable, "-m", "bench.chaos.load", str(self.keys_file), str(self.rate)]
        self._load = self._processes.start(command, "load", **environment)

    def wait_until_working(self) -> None:
        """Both workers are known, a scheduler leads, and jobs end."""
        pids = [worker.pid for worker in self.workers]
        active = "SELECT count(*) FROM jobs_worker WHERE status = 'active' AND pid = ANY(%s)"
        wait_for(lambda: self.number(active, pids) == len(pids), "the workers register")
        self.leading()
        self.wait_until_jobs_end()

    def wait_until_jobs_end(self) -> None:
        """A second's worth of them, from now on."""
        before = self.finished()
        wait_for(lambda: self.finished() >= before + self.rate, "jobs end")


def _put(places: list[Process], index: int | None, process: Process) -> Process:
    if index is None:
        places.append(process)
    else:
        places[index] = process
    return process
