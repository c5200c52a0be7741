"""What can happen to workers: killed, stopped, too busy, cut off, with a wrong clock, on a full disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bench.chaos.arena import Arena
from bench.chaos.course import Scale
from bench.chaos.processes import ROOT, Process, kill, stopped, wait_for
from bench.goals import Goal

RERUN_S = 10.0
HOUR_S = 3600
DISK_KIB = 4096
LIMITED_FILES = ["sh", "-c", 'ulimit -f 1024; exec "$@"', "sh"]
SHORT_LEASE = {"SMARTQUEUE_LEASE_S": "4", "SMARTQUEUE_HEARTBEAT_S": "1"}


def crash(arena: Arena, scale: Scale) -> list[Goal]:
    """kill -9 of one of two workers that holds jobs; nobody starts it again before its jobs run elsewhere."""
    victim = arena.workers[0]
    arena.submit("nap", 6, seconds=scale.of(3, 8, 8))
    wait_for(lambda: arena.running_on(victim) >= 2, "the worker holds jobs")
    worker_id, killed_at = arena.worker_id(victim), time.time()
    kill(victim)
    wait_for(lambda: not _still_held(arena, worker_id), "the jobs of the killed worker run again", 90)
    [(last, count)] = arena.ask(
        "SELECT extract(epoch FROM max(next.at))::float8, count(*) FROM jobs_executionlog l "
        "JOIN LATERAL (SELECT min(at) AS at FROM jobs_jobevent e WHERE e.job_id = l.job_id "
        "AND e.new_status = 'running' AND e.at > to_timestamp(%s)) next ON true "
        "WHERE l.worker_id = %s AND l.outcome = 'lost'",
        killed_at,
        worker_id,
    )
    arena.start_worker(0)
    return [
        Goal("crash: jobs that ran again", count, 1, at_least=True),
        Goal("crash: until the last ran again", (last or 1e9) - killed_at, RERUN_S, " s"),
    ]


def _still_held(arena: Arena, worker_id: str) -> bool:
    """Jobs of this worker that are running in its name, or wait after it was found dead."""
    return bool(
        arena.ask(
            "SELECT 1 FROM jobs_job WHERE worker_id = %s AND status IN ('running', 'queued') LIMIT 1",
            worker_id,
        )
    )


def kills(arena: Arena, scale: Scale) -> list[Goal]:
    """kill -9 of one worker every 5 s, in turn; each is started again at once, as a supervisor does."""
    for number in range(scale.of(2, 3, 24)):
        began = time.monotonic()
        _kill_and_replace(arena, number % 2)
        time.sleep(max(0.0, began + scale.of(2, 5, 5) - time.monotonic()))
    return []


def _kill_and_replace(arena: Arena, place: int) -> None:
    wait_for(lambda: arena.running_on(arena.workers[place]), "the worker holds a job")
    kill(arena.workers[place])
    arena.start_worker(place)


def pause(arena: Arena, scale: Scale) -> list[Goal]:
    """SIGSTOP of a worker until well past its leases, then SIGCONT: its late results must not count."""
    lease = {} if scale.form == "long" else SHORT_LEASE
    worker = arena.replace_worker(0, **lease)
    reruns = "SELECT count(*) FROM jobs_executionlog WHERE outcome = 'lost'"
    before = arena.number(reruns)
    arena.submit("nap", 8, seconds=3)
    wait_for(lambda: arena.running_on(worker) >= 2, "the worker holds jobs")
    with stopped(worker):
        time.sleep(scale.of(6, 9, 45))
    arena.wait_until_jobs_end()
    arena.replace_worker(0)
    taken = arena.number(reruns) - before
    return [Goal("pause: jobs taken from the stopped worker", taken, 1, at_least=True)]


def busy(arena: Arena, scale: Scale) -> list[Goal]:
    """Four jobs that use a whole core each, on workers whose machine has fewer to give."""
    seconds = scale.of(3, 20, 300)
    arena.submit("spin", 4, seconds=seconds)
    spinning = "SELECT count(*) FROM jobs_job WHERE name = 'spin' AND status IN ('running', 'queued')"
    wait_for(lambda: not arena.number(spinning), "the busy jobs end", 3 * seconds, 0.5)
    return []


def freeze(arena: Arena, scale: Scale) -> list[Goal]:
    """SIGSTOP of a worker for 20 s: less than its leases last, so nobody may take its jobs."""
    worker = arena.workers[0]
    arena.submit("nap", 4, seconds=25)
    wait_for(lambda: arena.running_on(worker) >= 1, "the worker holds jobs")
    with stopped(worker):
        time.sleep(20)
    return []


def cut(arena: Arena, scale: Scale) -> list[Goal]:
    """All sessions of one worker are ended once a second; it connects again each time and keeps its jobs."""
    worker = arena.workers[0]
    arena.submit("nap", 4, seconds=scale.of(3, 8, 20))
    wait_for(lambda: arena.running_on(worker) >= 1, "the worker holds jobs")
    ended = 0
    for _ in range(scale.of(2, 4, 15)):
        ended += len(arena.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY(%s)",
                               arena.sessions_of(worker)))  # fmt: skip
        time.sleep(1)
    return [Goal("cut: sessions ended", ended, 1, at_least=True)]


def clock(arena: Arena, scale: Scale) -> list[Goal]:
    """A worker and the submitting process an hour ahead, the leader an hour behind."""
    worker = _replace_all(arena, worker=shifted(HOUR_S), leader=shifted(-HOUR_S), load=shifted(HOUR_S))
    worker_id = arena.worker_id(worker)
    done = "SELECT count(*) FROM jobs_executionlog WHERE worker_id = %s"
    wait_for(lambda: arena.number(done, worker_id) >= arena.rate, "the worker works")
    time.sleep(scale.of(1, 6, 60))
    _replace_all(arena, worker={}, leader={}, load={})
    return [
        Goal(
            "clock: jobs by the worker that is an hour ahead", arena.number(done, worker_id), 1, at_least=True
        )
    ]


def _replace_all(
    arena: Arena, *, worker: dict[str, str], leader: dict[str, str], load: dict[str, str]
) -> Process:
    """New processes with these environments: the first worker (returned), both schedulers, the load."""
    arena.stop_load()
    arena.start_load(**load)
    for process in arena.schedulers:
        process.terminate()
    first = arena.start_scheduler(0, **leader)
    new = arena.replace_worker(0, **worker)
    wait_for(lambda: arena.leader()[0] == first.pid, "the new scheduler leads")
    arena.start_scheduler(1)
    return new


def disk(arena: Arena, scale: Scale) -> list[Goal]:
    """The disk on which jobs work fills up under them, and is freed again."""
    way = small_disk(arena.folder)
    for place in (0, 1):
        folder = arena.folder / f"small-{place}"
        folder.mkdir(exist_ok=True)
        arena.replace_worker(place, before=way, TMPDIR=str(folder))
    arena.wait_until_working()
    failures = "SELECT count(*) FROM jobs_executionlog WHERE job_name = 'file' AND outcome = 'failed'"
    before = arena.number(failures)
    arena.submit("hog", 6, seconds=scale.of(2, 6, 20))
    hogs = "SELECT count(*) FROM jobs_job WHERE name = 'hog' AND finished_at IS NULL"
    wait_for(lambda: not arena.number(hogs), "the disk is free again", 120, 0.5)
    met = Goal("disk: attempts that met the full disk", arena.number(failures) - before, 1, at_least=True)
    return [] if way == LIMITED_FILES else [met]


def small_disk(anywhere: Path) -> Sequence[str]:
    """The start of a command line that gives the rest a file system of DISK_KIB at $TMPDIR.

    A mount in a namespace of its own needs no cleaning up. Where mounts are refused, files are limited instead.
    """
    mount = f'mount -t tmpfs -o size={DISK_KIB}k chaos "$TMPDIR" && exec "$@"'
    for privilege in ([], ["--map-root-user"]):
        command = ["unshare", "--mount", *privilege, "sh", "-c", mount, "sh"]
        if shutil.which("unshare") and _works(command, anywhere):
            return command
    return LIMITED_FILES


def _works(command: list[str], folder: Path) -> bool:
    environment = {**os.environ, "TMPDIR": str(folder)}
    tried = subprocess.run([*command, "true"], env=environment, capture_output=True, check=False)
    return tried.returncode == 0


def shifted(seconds: int) -> dict[str, str]:
    """Environment of a Python process whose wall clock is off by so much."""
    folder = Path(__file__).parent / "shifted_clock"
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "CHAOS_CLOCK_OFFSET_S": str(seconds)}
