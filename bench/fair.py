"""Shares of worker time as they come out of a real worker: two that both always have work, and a newcomer.

Jobs sleep in processes of their own; what an organisation received is the sum of its attempts' runtimes. Predictions
are set by hand, so that they can be wrong.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import product, report
from bench.functions import RUNTIMES
from bench.goals import Goal
from bench.plan import Plan

COUNTED = 500  # jobs
SLEEP_S = 0.03
QUEUED, NEWCOMER_BEHIND = 600, 10_000
SLOTS = 4
HEAVY, LIGHT = "three parts", "one part"


@dataclass(frozen=True)
class Received:
    """By one organisation of the first COUNTED attempts that ended: how many, and their seconds."""

    jobs: int
    seconds: float


def measure(plan: Plan) -> list[Goal]:
    found = {
        "as long as predicted": _contest(1.0),
        "100 times longer than predicted": _contest(0.01),
    }
    report.table(
        f"Worker time by weight, 3 to 1, first {COUNTED} jobs",
        ["the heavier one's jobs are", "jobs", "seconds", "the other's jobs", "seconds", "ratio"],
        [
            [what, heavy.jobs, heavy.seconds, light.jobs, light.seconds, heavy.seconds / light.seconds]
            for what, (heavy, light) in found.items()
        ],
    )
    goals = []
    for what, (heavy, light) in found.items():
        ratio = heavy.seconds / light.seconds
        goals.append(Goal(f"3 to 1, jobs {what}: off by", abs(ratio / 3 - 1), 0.1))
    return [*goals, _newcomer()]


def _contest(factor: float) -> tuple[Received, Received]:
    """Both have QUEUED jobs of SLEEP_S; those of the heavier one are predicted to take `factor` times that."""
    from jobs.models import ExecutionLog

    product.clear()
    heavy, light = (_queue(name, QUEUED) for name in (HEAVY, LIGHT))
    _predict(heavy, factor)
    _predict(light, 1.0)
    with _working() as processes:
        product.wait_until(lambda: ExecutionLog.objects.count() >= COUNTED, f"{COUNTED} jobs end")
        processes.stop()
    first = ExecutionLog.objects.order_by("id").values_list("org_id", "runtime_ms")[:COUNTED]
    received: dict[int, list[float]] = {heavy: [], light: []}
    for org, runtime_ms in first:
        received[org].append(runtime_ms / 1000)
    return Received(len(received[heavy]), sum(received[heavy])), Received(
        len(received[light]), sum(received[light])
    )


def _newcomer() -> Goal:
    """How many jobs of a long queue begin between a newcomer's submission and the start of its one job."""
    from jobs.models import ExecutionLog, Job

    product.clear()
    _predict(_queue(HEAVY, NEWCOMER_BEHIND), 1.0)
    with _working() as processes:
        product.wait_until(lambda: ExecutionLog.objects.count() >= 20, "the worker is at work")
        newcomer = _queue(LIGHT, 1)
        product.wait_until(
            lambda: ExecutionLog.objects.filter(org=newcomer).exists(), "the newcomer's job ends"
        )
        processes.stop()
    job = Job.objects.get(org=newcomer)
    assert job.started_at is not None
    between = Job.objects.filter(started_at__gt=job.created_at, started_at__lt=job.started_at).count()
    wait_s = (job.started_at - job.created_at).total_seconds()
    report.say(
        f"  one job behind {NEWCOMER_BEHIND:,} of another: began after {between} of them and {wait_s * 1000:.0f} ms"
    )
    return Goal(f"newcomer behind {NEWCOMER_BEHIND:,}: jobs that began before it", between, SLOTS)


def _queue(name: str, count: int) -> int:
    """Jobs of one organisation; its id."""
    from jobs import services
    from orgs.models import Organization

    org, user = product.people(name)
    Organization.objects.filter(pk=org.pk).update(weight=3.0 if name == HEAVY else 1.0)
    job = {"name": "sleep", "type": "python", "payload": {"function": "bench.sleep", "args": [0]}}
    services.submit_many(org=org, user=user, submissions=[job] * count)
    return int(org.pk)


def _predict(org: int, factor: float) -> None:
    from jobs.models import Job

    Job.objects.filter(org_id=org).update(predicted_runtime_ms=SLEEP_S * 1000 * factor)


@contextmanager
def _working() -> Iterator[product.Processes]:
    """One worker with SLOTS slots."""
    with tempfile.TemporaryDirectory(prefix="sq-bench-fair-") as folder, product.processes() as processes:
        runtimes = Path(folder) / "runtimes"
        runtimes.write_text(json.dumps([SLEEP_S]))
        processes.manage("runworker", "--concurrency", str(SLOTS), **{RUNTIMES: str(runtimes)})
        yield processes
