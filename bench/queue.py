"""`python -m bench.queue`: submit-to-start latency and no-op throughput, beside the raw SQL limit.

Sets up a durable PostgreSQL cluster of its own in a temporary folder, and removes it. See bench/README.md
for what each figure means.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.goals import Goal, conclude

ROOT = Path(__file__).resolve().parent.parent
PAUSE_S = (0.02, 0.05)


def main() -> None:
    options = _options()
    folder = tempfile.mkdtemp(prefix="sq-bench-")
    try:
        _use_own_cluster(Path(folder))
        goals = _measure(latency_jobs=options.latency_jobs, throughput_jobs=options.jobs, slots=options.slots)
    finally:
        from smartqueue import startup

        startup.stop_database()
        shutil.rmtree(folder, ignore_errors=True)
    conclude(goals)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.queue", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few hundred jobs instead of thousands")
    parser.add_argument("--slots", type=int, default=4, help="jobs that the worker runs at once")
    options = parser.parse_args()
    options.latency_jobs, options.jobs = (60, 300) if options.quick else (200, 2000)
    return options


def _use_own_cluster(folder: Path) -> None:
    for name in [name for name in os.environ if name.startswith("SMARTQUEUE_") or name == "DATABASE_URL"]:
        del os.environ[name]
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "smartqueue.settings",
        "SMARTQUEUE_DATA_DIR": str(folder),
        "SMARTQUEUE_FUNCTIONS": "bench.functions",
        "SMARTQUEUE_LOG_LEVEL": "WARNING",
    }
    import django
    from django.core.management import call_command

    from smartqueue import startup

    startup.start_database()
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)


def _measure(*, latency_jobs: int, throughput_jobs: int, slots: int) -> list[Goal]:
    from django.conf import settings
    from django.db import connection

    from bench.raw_sql import claims_per_second

    raw = claims_per_second(settings.DATABASE_DSN, jobs=20_000, batch=100)
    print(f"raw SQL limit, batches of 100:          {raw:10,.0f} jobs/s")
    waits = _latencies(latency_jobs, slots)
    p50, p99 = statistics.median(waits), statistics.quantiles(waits, n=100)[98]
    print(f"submit to start, {latency_jobs} jobs, idle worker: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    rate = _throughput(throughput_jobs, slots)
    print(
        f"no-op throughput, {throughput_jobs} jobs, {slots} slots: {rate:10,.0f} jobs/s, {rate / raw:.2%} of raw SQL"
    )
    connection.close_pool()  # type: ignore[attr-defined]
    return [
        Goal("submit-to-start p50", p50, 30, " ms"),
        Goal("submit-to-start p99", p99, 120, " ms"),
        Goal("no-op throughput, share of raw SQL", rate / raw, 0.001, at_least=True),
    ]


def _latencies(count: int, slots: int) -> list[float]:
    """Milliseconds from just before the submit call to the first line of the job, one job at a time."""
    from jobs import services, states
    from jobs.models import Job

    org, user = _people("latency")
    submitted: dict[int, float] = {}
    worker = _start_worker(slots)
    try:
        for _ in range(count + 5):  # the first five warm up
            before = time.clock_gettime(time.CLOCK_MONOTONIC)
            job = services.submit(
                org=org, user=user, name="latency", type="python", payload={"function": "bench.started_at"}
            )
            submitted[job.pk] = before
            time.sleep(random.uniform(*PAUSE_S))
        _until_settled(org.pk)
    finally:
        _stop(worker)
    done = Job.objects.filter(org=org, status=states.DONE).order_by("pk")[5:]
    return [(job.result - submitted[job.pk]) * 1000 for job in done]


def _throughput(count: int, slots: int) -> float:
    """Jobs per second between the first and the last start of `count` jobs that waited before the worker came."""
    from django.db.models import Max, Min

    from jobs import services
    from jobs.models import Job

    org, user = _people("throughput")
    for _ in range(count):
        services.submit(org=org, user=user, name="noop", type="python", payload={"function": "noop"})
    worker = _start_worker(slots)
    try:
        _until_settled(org.pk)
    finally:
        _stop(worker)
    span = Job.objects.filter(org=org).aggregate(first=Min("started_at"), last=Max("started_at"))
    return (count - 1) / (span["last"] - span["first"]).total_seconds()


def _people(name: str):  # type: ignore[no-untyped-def]
    from orgs import roles
    from orgs.models import Organization, User

    org = Organization.objects.create(name=name)
    return org, User.objects.create_user(username=name, role=roles.USER, org=org)


def _start_worker(slots: int) -> subprocess.Popen[bytes]:
    from jobs.models import Worker

    before = set(Worker.objects.values_list("pk", flat=True))
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "runworker", "--concurrency", str(slots)]
    )
    deadline = time.monotonic() + 60
    while not Worker.objects.exclude(pk__in=before).exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("The worker did not start.")
        time.sleep(0.05)
    return process


def _stop(worker: subprocess.Popen[bytes]) -> None:
    worker.send_signal(signal.SIGTERM)
    worker.wait(timeout=60)


def _until_settled(org_id: int, timeout_s: float = 600) -> None:
    from jobs import states
    from jobs.models import Job

    deadline = time.monotonic() + timeout_s
    while Job.objects.filter(org_id=org_id, status__in=states.ACTIVE).exists():
        if time.monotonic() > deadline:
            raise SystemExit(f"Jobs are still unfinished after {timeout_s:g} s.")
        time.sleep(0.1)


if __name__ == "__main__":
    main()
