"""The list of scenarios. bench/chaos/README.md has a row for each; a test holds them equal."""

from __future__ import annotations

from bench.chaos import platform_faults, worker_faults
from bench.chaos.course import Scenario

SCENARIOS = {
    one.name: one
    for one in (
        Scenario("crash", "kill -9 of one of two workers", worker_faults.crash),
        Scenario("kills", "kill -9 of a worker every 5 s", worker_faults.kills),
        Scenario("postgres", "PostgreSQL stopped and started, then crashed", platform_faults.postgres),
        Scenario("backends", "pg_terminate_backend at random", platform_faults.backends),
        Scenario("slots", "no connection slot left", platform_faults.slots),
        Scenario("pause", "SIGSTOP of a worker past its leases", worker_faults.pause),
        Scenario("clock", "clocks of processes off by an hour", worker_faults.clock, spared=True),
        Scenario("disk", "disk full under the jobs", worker_faults.disk),
        Scenario("leader-kill", "kill -9 of the leader", platform_faults.leader_kill, spared=True),
        Scenario("leader-stop", "clean stop of the leader", platform_faults.leader_stop, spared=True),
        Scenario("busy", "jobs at 100 % CPU", worker_faults.busy, spared=True),
        Scenario("freeze", "SIGSTOP of a worker for 20 s", worker_faults.freeze, spared=True),
        Scenario("cut", "connections of a worker cut, again and again", worker_faults.cut, spared=True),
    )
}
