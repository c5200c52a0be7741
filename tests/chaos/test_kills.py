"""Two schedulers and two workers as processes, killed in the middle of 200 jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils import timezone

from jobs import states
from jobs.models import ExecutionLog, Job, SchedulerLeader, Worker
from orgs.models import User
from tests.processes import Processes, processes
from tests.waiting import wait_until

QUICK = {"SMARTQUEUE_LEASE_S": "4", "SMARTQUEUE_HEARTBEAT_S": "1", "SMARTQUEUE_POLL_S": "0.5"}
TAKE_OVER_S = 2.0


def leading_pid() -> int:
    leader = SchedulerLeader.objects.filter(pk=1).first()
    return int(leader.worker_id.split(":")[1]) if leader else 0


def done() -> int:
    return Job.objects.filter(status=states.DONE).count()


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(180)
def test_killed_worker_and_leader_lose_and_repeat_nothing(
    tmp_path: Path, bob: User, submit: Callable[..., Job]
) -> None:
    with processes(tmp_path, **QUICK) as platform:
        schedulers = [platform.start("runscheduler") for _ in range(2)]
        workers = [platform.start("runworker", "--concurrency", "4") for _ in range(2)]
        wait_until(lambda: Worker.objects.filter(status="active").count() == 2, 60, "two workers")
        pids = {process.pid: process for process in schedulers}
        wait_until(lambda: leading_pid() in pids, 60, "a leader")
        for number in range(200):
            submit(bob, name=f"job {number}", payload={"function": "sleep", "args": [0.05]})

        wait_until(lambda: done() >= 40, 60, "the first jobs")
        kill_while_running(platform, workers[0].pid, workers)
        kill_leader(platform, pids[leading_pid()])

        wait_until(lambda: done() == 200, 90, "all jobs done")
    finals = ExecutionLog.objects.filter(final=True)
    assert finals.filter(outcome="done").count() == 200
    assert finals.values("job").distinct().count() == 200
    assert ExecutionLog.objects.filter(outcome="lost").exists(), (
        "the kill hit no running job: nothing was tested"
    )


def kill_while_running(platform: Processes, pid: int, workers: list) -> None:  # type: ignore[type-arg]
    worker_id = Worker.objects.get(pid=pid).worker_id
    running = Job.objects.filter(status=states.RUNNING, worker_id=worker_id)
    wait_until(running.exists, 20, "the worker has a job in its hands")
    platform.kill(next(process for process in workers if process.pid == pid))


def kill_leader(platform: Processes, leader) -> None:  # type: ignore[no-untyped-def]
    before = SchedulerLeader.objects.get(pk=1)
    killed_at = timezone.now()
    platform.kill(leader)
    wait_until(lambda: SchedulerLeader.objects.get(pk=1).term > before.term, 20, "the standby leads")
    after = SchedulerLeader.objects.get(pk=1)
    assert after.worker_id != before.worker_id
    assert (after.elected_at - killed_at).total_seconds() < TAKE_OVER_S
