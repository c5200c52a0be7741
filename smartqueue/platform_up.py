"""What `manage.py up` does, step by step: database, migrations, people, processes, first jobs, watch, stop."""

from __future__ import annotations

import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from smartqueue import demo, env, startup
from smartqueue.supervisor import Child, Supervisor

READY_S = 60.0
QUICK_GRACE_S = 5.0
STOP_AFTER_HURRY_S = 10.0
PORTS_TRIED = 100


class Platform:
    """Everything on one machine. `stop` is set by Ctrl-C; `say` prints a line for the person who waits."""

    def __init__(self, stop: threading.Event, *, say: Callable[[str], None]) -> None:
        self.stop = stop
        self.say = say
        self.supervisor = Supervisor(settings.DATA_DIR / "logs", say=say)
        self.grace_s = ctrl_c_grace_s(settings.WORKER_GRACE_S)

    def run(self, *, workers: int, with_demo: bool) -> None:
        self._prepare()
        listener = self._listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            self._start_processes(listener.fileno(), workers)
            if self._wait_until_ready(url):
                self._welcome(url, with_demo=with_demo)
            self._watch()
        finally:
            self.say(f"Stopping: running jobs have {self.grace_s:g} s to end, then go back to the queue.")
            self.supervisor.stop()
            listener.close()
            connection.close_pool()  # type: ignore[attr-defined]
            self.say(_stopped(startup.stop_database()))

    def _prepare(self) -> None:
        self.say(f"Data folder: {settings.DATA_DIR}")
        self.say("Bringing the database up to date ...")
        call_command("migrate", interactive=False, verbosity=0)
        self.say("Collecting static files ...")
        call_command("collectstatic", interactive=False, verbosity=0)

    def _listen(self) -> socket.socket:
        """A socket on the first free port: bound here and handed on, so that nobody can take it in between."""
        for port in range(settings.PORT, min(settings.PORT + PORTS_TRIED, 65_536)):
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
                listener.listen(128)
            except OSError:
                listener.close()
                self.say(f"Port {port} is taken, trying {port + 1}.")
                continue
            listener.set_inheritable(True)
            return listener
        raise CommandError(f"No free port from {settings.PORT} on: set SMARTQUEUE_PORT to a free one.")

    def _start_processes(self, fd: int, workers: int) -> None:
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        web = [
            sys.executable,
            "-m",
            "uvicorn",
            "smartqueue.asgi:application",
            "--fd",
            str(fd),
            "--no-proxy-headers",
        ]
        web += ["--ws-max-size", "65536"]  # pages listen, and send nothing
        web += ["--no-server-header", "--timeout-graceful-shutdown", "3", "--app-dir", str(settings.BASE_DIR)]
        self.supervisor.start(Child("web", web, pass_fds=(fd,)))
        for number in (1, 2):
            self.supervisor.start(Child(f"scheduler-{number}", [*manage, "runscheduler"]))
        for number in range(1, workers + 1):
            worker = Child(
                f"worker-{number}", [*manage, "runworker"], hurry_s=self.grace_s, stop_s=STOP_AFTER_HURRY_S
            )
            self.supervisor.start(worker)

    def _wait_until_ready(self, url: str) -> bool:
        self.say("Starting web server, schedulers and worker ...")
        deadline = time.monotonic() + READY_S
        while not self.stop.is_set():
            if _answers(f"{url}/readyz"):
                return True
            if time.monotonic() > deadline:
                raise CommandError(
                    f"The web server does not answer; see {self.supervisor.log_dir / 'web.log'}"
                )
            self.supervisor.check()
            self.stop.wait(0.2)
        return False

    def _welcome(self, url: str, *, with_demo: bool) -> None:
        lines = ["", f"  SmartQueue is up:  {url}/dashboard/", ""]
        if with_demo:
            logins = demo.ensure_people(settings.DATA_DIR)
            before = demo.submit_first_jobs(url)
            lines += [
                f"  {name:<15} password {password}   ({demo.PEOPLE[name]})"
                for name, password in logins.items()
            ]
            jobs = f"{before} jobs from before are there" if before else "the first jobs are on their way"
            lines += ["", f"  Organisation {demo.ORG_NAME}: {jobs}."]
        lines += [f"  API explorer {url}/docs   admin {url}/admin/   logs {self.supervisor.log_dir}"]
        lines += ["  Ctrl-C stops everything.", ""]
        self.say("\n".join(lines))

    def _watch(self) -> None:
        while not self.stop.wait(1.0):
            startup.keep_database()
            self.supervisor.check()


def ctrl_c_grace_s(setting: float) -> float:
    """How long running jobs may go on after Ctrl-C, for which a person waits: the setting only if it was given."""
    return setting if env.is_given("SMARTQUEUE_WORKER_GRACE_S") else QUICK_GRACE_S


def _stopped(database_too: bool) -> str:
    if database_too:
        return "Stopped. Everything is kept; start again with the same command."
    return (
        "Stopped, but for the database: another process uses it, such as a `manage.py runworker` of this folder. "
        "It goes on until that process ends; then everything is kept."
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own address
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
