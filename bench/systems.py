"""The systems on the bench behind one face: SmartQueue in this process, the peers through their scripts.

`drain` and `latency` know only this face, so every system is prepared, filled and started alike.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench import product
from bench.cluster import Server
from bench.peers.script import PAUSE_S, batches
from bench.product import ROOT, Processes


class System(Protocol):
    name: str
    share: float  # of the jobs of a drain, so that slow systems take no longer than fast ones

    def prepare(self) -> None: ...
    def enqueue(self, count: int) -> None: ...
    def start_workers(self, processes: Processes, count: int) -> None: ...
    def trickle(self, count: int) -> dict[int, float]: ...


@dataclass
class SmartQueue:
    name: str = "SmartQueue"
    share: float = 1.0

    def prepare(self) -> None:
        product.clear()

    def enqueue(self, count: int) -> None:
        from jobs import services

        org, user = product.people("drain")
        job = {"name": "noop", "type": "python", "payload": {"function": "bench.noop"}}
        for size in batches(count):
            services.submit_many(org=org, user=user, submissions=[job] * size)

    def start_workers(self, processes: Processes, count: int) -> None:
        """They wait at a pause for each other: the start of one would take the processor from the next."""
        from jobs import notify
        from jobs.limit_models import EVERYTHING
        from jobs.models import GateOpening, Pause, Worker

        pause = Pause.objects.create(reason="until all workers are up")
        there = Worker.objects.count()
        processes.workers(count)
        product.wait_until(lambda: Worker.objects.count() == there + count, "the workers register")
        pause.delete()
        GateOpening.objects.create(gate_id=EVERYTHING)
        notify.changed([], ready=True)

    def trickle(self, count: int) -> dict[int, float]:
        org, user = product.people("latency")
        submitted = {}
        for key in range(1, count + 1):
            before = time.clock_gettime(time.CLOCK_MONOTONIC)
            product.noop(org, user, key)
            submitted[key] = before
            time.sleep(random.uniform(*PAUSE_S))
        return submitted


@dataclass
class Peer:
    """A peer, driven by `bench/peers/<script>_peer.py` under the peers' Python."""

    name: str
    script: str
    python: Path
    server: Server
    work: list[str] = field(default_factory=list)
    share: float = 1.0

    def prepare(self) -> None:
        self.server.fresh_database(self.script)
        self.run("install")

    def enqueue(self, count: int) -> None:
        self.run("enqueue", f"--count={count}")

    def start_workers(self, processes: Processes, count: int) -> None:
        for _ in range(count):
            processes.start(self._command("work", *self.work), **self.server.environment(self.script))

    def trickle(self, count: int) -> dict[int, float]:
        return dict(json.loads(self.run("trickle", f"--count={count}")))

    def run(self, *arguments: str) -> str:
        """Run one of the script's commands to its end; answers what it printed."""
        done = subprocess.run(
            self._command(*arguments),
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)} | self.server.environment(self.script),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"bench: {self.name}, {' '.join(arguments)}:\n{done.stderr[-2000:]}")
        return done.stdout

    def _command(self, *arguments: str) -> list[str]:
        return [str(self.python), "-m", f"bench.peers.{self.script}_peer", *arguments]


def drained(server: Server, python: Path | None, *, quick: bool = False) -> list[System]:
    """The systems of a drain, SmartQueue first; without the peers when there is no Python for them."""
    if python is None:
        return [SmartQueue()]
    peers = [
        Peer("pgqueuer batch=100", "pgqueuer", python, server, ["--batch=100"]),
        Peer("pgqueuer batch=1000 uvloop", "pgqueuer", python, server, ["--batch=1000", "--uvloop"]),
        Peer("Procrastinate c=10", "procrastinate", python, server, ["--concurrency=10"], share=0.1),
        Peer("django-tasks-db", "django_tasks", python, server, share=0.05),
    ]
    return [SmartQueue(), *peers]


def awaited(server: Server, python: Path | None) -> list[System]:
    """The systems whose latency is measured."""
    if python is None:
        return [SmartQueue()]
    return [
        SmartQueue(),
        Peer("pgqueuer batch=10", "pgqueuer", python, server, ["--batch=10"]),
        Peer("Procrastinate c=10", "procrastinate", python, server, ["--concurrency=10"]),
    ]
