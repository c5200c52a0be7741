"""One trace through a real worker on a real PostgreSQL, pressed into a minute or two, beside the same in virtual time.

The jobs before the piece that is played are its history: submitted, claimed and finished through the product, so that
there is something to predict from. Called by `python -m bench.replay --live`.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import cluster, product, report, starts
from bench.functions import RUNTIMES
from bench.predict.ordering import LOAD, SHORT_S, Arrivals
from bench.predict.traces import Floats, Trace
from bench.replay.measures import Measures, measure, measured
from bench.replay.orders import FIFO, ORACLE
from bench.replay.results import COLUMNS

if TYPE_CHECKING:
    from jobs.models import Job
    from orgs.models import User

SERVERS = 4
HISTORY = 2_000
SHORTEST_S = 0.01
LONGEST = 0.98  # quantile: one job of a day would press all others to nothing
CLAIM = 200
LIVE, VIRTUAL = "SmartQueue, live", "SmartQueue, the same ranks in virtual time"


@dataclass(frozen=True)
class Piece:
    """Rows of a trace, pressed by `pace`: what is history, and what is played. Times in seconds."""

    names: Sequence[str]
    users: Sequence[str]
    arrivals: Floats
    runtimes: Floats
    history: int  # rows before the first that is played
    pace: float

    def queue(self, submitted: Floats) -> Arrivals:
        """In virtual time, as they were submitted."""
        return Arrivals(submitted, self.runtimes[self.history :], SERVERS, short_s=SHORT_S * self.pace)


def cut(trace: Trace, jobs: int, seconds: float) -> Piece:
    """The first `jobs` scored rows in so many seconds, at the load of every replay."""
    begin, end = trace.first_scored, min(trace.first_scored + jobs, len(trace))
    first = max(begin - HISTORY, 0)
    runtimes = np.minimum(trace.runtime[first:end], np.quantile(trace.runtime[begin:end], LONGEST))
    pace = seconds * SERVERS * LOAD / float(runtimes[begin - first :].sum())
    submit = trace.submit[begin:end] - trace.submit[begin]
    return Piece(
        names=trace.jobs[first:end],
        users=[f"{trace.tenants[row]}/{trace.users[row]}" for row in range(first, end)],
        arrivals=submit * (seconds / max(float(submit[-1]), 1.0)),
        runtimes=np.maximum(runtimes * pace, SHORTEST_S),
        history=begin - first,
        pace=pace,
    )


def play(trace: Trace, jobs: int, seconds: float) -> None:
    piece = cut(trace, jobs, seconds)
    with cluster.running() as server:
        product.use(server)
        try:
            waits, submitted, ranks = _played(piece)
            estimated = _estimated()
        finally:
            product.release()
    queue = piece.queue(submitted)
    rows = {
        FIFO: measure(queue, submitted),
        LIVE: measured(queue, waits),
        VIRTUAL: measure(queue, ranks),
        ORACLE: measure(queue, queue.runtimes),
    }
    _print(trace.name, len(waits), seconds, rows)
    report.say(estimated)


def _estimated() -> str:
    """How well the leader told when jobs would start."""
    from analytics.calibration import coverage

    score = coverage()
    if score.share is None:
        return "no job had an estimate of its start before it started"
    kept = (
        f"{score.inside} of {score.started} jobs started inside the 80 % interval that they were first given"
    )
    return f"{kept}: {score.share:.1%}"


def _print(name: str, jobs: int, seconds: float, rows: dict[str, Measures]) -> None:
    report.table(
        f"{name}, {jobs} jobs in {seconds:g} s, one worker with {SERVERS} slots",
        ["order", *COLUMNS, "gain, wait", "gain, slowdown"],
        [
            [order, *astuple(found)[: len(COLUMNS)], f"{found.gain_wait:.3f}", f"{found.gain_slowdown:.3f}"]
            for order, found in rows.items()
        ],
    )


def _played(piece: Piece) -> tuple[Floats, Floats, Floats]:
    """Of each job (N,): how long it waited, when it was submitted, and its rank."""
    from jobs.eta_models import Eta
    from jobs.models import Job, SchedulerLeader

    people = _People()
    _execute(piece, people)
    with product.processes() as processes:
        folder = processes.starts.parent
        (folder / "runtimes.json").write_text(json.dumps(piece.runtimes.tolist()))
        processes.manage("runworker", f"--concurrency={SERVERS}", **{RUNTIMES: str(folder / "runtimes.json")})
        processes.manage("runscheduler")
        product.until_registered(1)
        product.wait_until(SchedulerLeader.objects.exists, "a scheduler leads")
        submitted = _submit(piece, people)
        product.wait_until(lambda: product.is_settled(people.org), "the jobs end")
        product.wait_until(lambda: not Eta.objects.exists(), "the estimates of starts are scored")
        noted = dict(starts.read(processes.starts))
    rank = dict(Job.objects.filter(pk__in=[job.pk for _, job in submitted]).values_list("pk", "rank"))
    keys = range(piece.history, len(piece.names))
    waits = np.array([noted[key] - at for key, (at, _) in zip(keys, submitted, strict=True)])
    times = np.array([at for at, _ in submitted])
    return waits, times - times[0], np.array([rank[job.pk] for _, job in submitted])


def _submit(piece: Piece, people: _People) -> list[tuple[float, Job]]:
    """Each job at its time; answers when it was submitted, on the clock of all processes."""
    from jobs import services

    began, found = _now(), []
    for place, due in enumerate(piece.arrivals):
        time.sleep(max(began + due - _now(), 0))
        key, at = piece.history + place, _now()
        found.append(
            (at, services.submit(org=people.org, user=people.user(piece.users[key]), **_job(piece, key)))
        )
    return found


def _execute(piece: Piece, people: _People) -> None:
    """The history: executed without a worker, each with its runtime."""
    from jobs import services
    from predictor import keeping, selectors

    for first in range(0, piece.history, CLAIM):
        for key in range(first, min(first + CLAIM, piece.history)):
            services.submit(org=people.org, user=people.user(piece.users[key]), **_job(piece, key))
        _finish_all(piece)
    keeping.fill(selectors.newest_runs(HISTORY))
    report.say(f"{piece.history} jobs of history executed")


def _finish_all(piece: Piece) -> None:
    from jobs import claims, leases
    from jobs.claimed import Finish

    worker = str(uuid.uuid4())
    while claimed := claims.claim(worker_id=worker, types=["python"], limit=CLAIM, lease_s=60):
        ended = [
            Finish(
                job.id, job.attempt, "done", runtime_ms=float(piece.runtimes[job.payload["args"][0]]) * 1000
            )
            for job in claimed
        ]
        leases.finish(worker_id=worker, ended=ended)


def _job(piece: Piece, key: int) -> dict[str, Any]:
    payload = {"function": "bench.sleep", "args": [key]}
    return {"name": piece.names[key][:200] or "unnamed", "type": "python", "payload": payload}


class _People:
    """One organisation, and a user for each of the trace's."""

    def __init__(self) -> None:
        self.org, _ = product.people("replay")
        self._users: dict[str, User] = {}

    def user(self, name: str) -> User:
        from orgs import roles
        from orgs.models import User

        if name not in self._users:
            number = len(self._users)
            self._users[name] = User.objects.create_user(
                username=f"replay-{number}", role=roles.USER, org=self.org
            )
        return self._users[name]


def _now() -> float:
    return time.clock_gettime(time.CLOCK_MONOTONIC)
