"""What can happen to the leader and to PostgreSQL: killed, stopped, cut off, without free connections."""

from __future__ import annotations

import contextlib
import signal
import statistics
import time

import psycopg

from bench.chaos.arena import Arena
from bench.chaos.course import Scale
from bench.chaos.processes import wait_for
from bench.goals import Goal

FILLER = "chaos-filler"


def leader_kill(arena: Arena, scale: Scale) -> list[Goal]:
    """kill -9 of the leader, again and again; the other one takes over."""
    waits = [_take_over(arena, signal.SIGKILL) for _ in range(scale.of(1, 3, 10))]
    return [
        Goal("leader-kill: longest until a new term", max(waits), 2, " s"),
        Goal("leader-kill: median until a new term", statistics.median(waits), 1, " s"),
    ]


def leader_stop(arena: Arena, scale: Scale) -> list[Goal]:
    """SIGTERM to the leader, again and again: it hands over."""
    waits = [_take_over(arena, signal.SIGTERM) * 1000 for _ in range(scale.of(1, 3, 10))]
    return [Goal("leader-stop: longest hand-over", max(waits), 200, " ms")]


def _take_over(arena: Arena, how: signal.Signals) -> float:
    """Seconds from the signal to the start of the next term, by the clock that server and bench share."""
    leader, (_, term) = arena.leading(), arena.leader()
    wait_for(lambda: all(arena.sessions_of(one) for one in arena.schedulers), "the other scheduler stands by")
    time.sleep(0.5)
    sent_at = time.time()
    leader.send_signal(how)
    wait_for(lambda: arena.leader()[1] > term, "a new term begins")
    elected_at = arena.number("SELECT extract(epoch FROM elected_at) FROM jobs_schedulerleader")
    leader.wait(30)
    arena.start_scheduler(arena.schedulers.index(leader))
    return elected_at - sent_at


def postgres(arena: Arena, scale: Scale) -> list[Goal]:
    """PostgreSQL is stopped and started, then ended at once as in a crash and started."""
    for how in (signal.SIGINT, signal.SIGQUIT):
        arena.wait_until_jobs_end()
        arena.server.stop(how)
        time.sleep(scale.of(1, 3, 15))
        arena.server.start()
    return []


def backends(arena: Arena, scale: Scale) -> list[Goal]:
    """pg_terminate_backend on a random third of all sessions, twice a second."""
    ended, until = 0, time.monotonic() + scale.of(2, 8, 60)
    while time.monotonic() < until:
        ended += len(
            arena.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                "AND pid <> pg_backend_pid() AND random() < 0.33"
            )
        )
        time.sleep(0.5)
    return [Goal("backends: sessions ended", ended, 1, at_least=True)]


def slots(arena: Arena, scale: Scale) -> list[Goal]:
    """Others take every connection slot; the product loses its sessions and gets none back until they go."""
    with contextlib.ExitStack() as taken:
        until = time.monotonic() + scale.of(2, 6, 30)
        _take_all(arena, taken)
        while time.monotonic() < until:
            arena.ask(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                "AND pid <> pg_backend_pid() AND application_name <> %s",
                FILLER,
            )
            _take_all(arena, taken)
            time.sleep(0.05)
        left = arena.number(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'smartqueue' AND application_name <> %s",
            FILLER,
        )
    return [Goal("slots: sessions left to the product", left, 0)]


def _take_all(arena: Arena, taken: contextlib.ExitStack) -> None:
    with contextlib.suppress(psycopg.OperationalError):
        while True:
            session = psycopg.connect(arena.server.url, application_name=FILLER, connect_timeout=5)
            taken.callback(session.close)
