"""The worker as a process: it runs jobs of every ending, stops them, hands them back, survives its database."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from jobs import services, states
from jobs.models import ExecutionLog, Job, JobEvent, LogLine, Worker
from orgs.models import User
from tests.processes import Processes, alive, processes
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Submit = Callable[..., Job]


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Processes]:
    with processes(
        tmp_path, SMARTQUEUE_LEASE_S="5", SMARTQUEUE_HEARTBEAT_S="0.5", SMARTQUEUE_RETRY_BASE_S="0.01"
    ) as made:
        yield made


@pytest.fixture
def worker(platform: Processes) -> Any:
    process = platform.start("runworker", "--concurrency", "3", "--grace", "10")
    wait_until(lambda: Worker.objects.filter(status="active").exists(), 60, "the worker starts")
    return process


def ended(job: Job, timeout: float = 30) -> Job:
    def final() -> bool:
        job.refresh_from_db()
        return job.is_final

    wait_until(final, timeout, f"job {job.pk} ends")
    return job


def running(job: Job) -> None:
    wait_until(lambda: Job.objects.filter(pk=job.pk, status=states.RUNNING).exists(), 20, "the job runs")


def shell(submit: Submit, user: User, command: str, **fields: Any) -> Job:
    return submit(user, name="shell", type="shell", payload={"command": command}, **fields)


def test_output_result_and_log_are_kept(worker: Any, bob: User, submit: Submit) -> None:
    job = ended(shell(submit, bob, "echo out; echo err >&2; echo last"))
    assert (job.status, job.result["exit_code"]) == (states.DONE, 0)
    lines = set(LogLine.objects.filter(job=job).values_list("stream", "text"))
    assert {("stdout", "out"), ("stderr", "err"), ("stdout", "last")} <= lines
    log = ExecutionLog.objects.get(job=job)
    assert (log.outcome, log.final, log.worker_id) == ("done", True, Worker.objects.get().worker_id)
    assert list(JobEvent.objects.filter(job=job).order_by("pk").values_list("new_status", flat=True)) == [
        "queued",
        "running",
        "done",
    ]


def test_failing_job_is_retried_and_ends_as_dead_letter(
    platform: Processes, worker: Any, bob: User, submit: Submit
) -> None:
    platform.start("runscheduler")
    job = ended(shell(submit, bob, "echo try; exit 3", max_retries=2), timeout=40)
    assert (job.status, job.retry_count, job.attempt) == (states.FAILED, 2, 3)
    assert "3" in job.error_msg
    assert list(ExecutionLog.objects.filter(job=job).order_by("attempt").values_list("final", flat=True)) == [
        False,
        False,
        True,
    ]
    assert LogLine.objects.filter(job=job, text="try").count() == 3


def test_failure_that_retrying_cannot_mend_ends_at_once(worker: Any, bob: User, submit: Submit) -> None:
    job = ended(shell(submit, bob, "no-such-command", max_retries=3))
    assert (job.status, job.attempt, job.retry_count) == (states.FAILED, 1, 0)
    assert "a command was not found" in job.error_msg


def test_all_lines_are_stored_before_the_ending(worker: Any, bob: User, submit: Submit) -> None:
    job = ended(shell(submit, bob, "seq 3000"))
    lines = LogLine.objects.filter(job=job, logged_at__lte=job.finished_at)
    assert list(lines.order_by("seq").values_list("text", flat=True)) == [str(n) for n in range(1, 3001)]


def test_timeout_kills_the_whole_group(worker: Any, bob: User, submit: Submit, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    job = ended(shell(submit, bob, f"sleep 600 & echo $! > {pid_file}; wait", timeout_s=1, max_retries=0))
    assert job.status == states.FAILED
    assert ExecutionLog.objects.get(job=job).outcome == "timeout"
    wait_until(lambda: not alive(int(pid_file.read_text())), 10, "the child of the job is gone")


def test_cancel_stops_a_running_job(worker: Any, bob: User, submit: Submit, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    job = shell(submit, bob, f"sleep 600 & echo $! > {pid_file}; wait")
    running(job)
    wait_until(pid_file.exists, 10, "the command started")
    services.cancel(job=job, user=bob)
    job = ended(job)
    assert (job.status, job.result) == (states.CANCELLED, None)
    wait_until(lambda: not alive(int(pid_file.read_text())), 10, "the child of the job is gone")


def started(submit: Submit, user: User, pid_file: Path) -> tuple[Job, int]:
    """A job that runs for long, and the process id of its command."""
    job = shell(submit, user, f"sleep 600 & echo $! > {pid_file}; wait")
    running(job)
    return job, int(wait_until(lambda: pid_file.exists() and pid_file.read_text(), 10, "the command started"))


def test_a_cancel_that_was_not_heard_is_found_by_the_heartbeat(
    worker: Any, bob: User, submit: Submit, tmp_path: Path
) -> None:
    job, pid = started(submit, bob, tmp_path / "pid")
    Job.objects.update(cancel_requested=True)  # tells nobody
    assert ended(job).status == states.CANCELLED
    wait_until(lambda: not alive(pid), 10, "the child of the job is gone")


def test_a_worker_that_lost_its_lease_stops_the_job_and_records_nothing(
    platform: Processes, worker: Any, bob: User, submit: Submit, tmp_path: Path
) -> None:
    job, pid = started(submit, bob, tmp_path / "pid")
    Job.objects.update(worker_id="other")
    wait_until(lambda: not alive(pid), 20, "the child of the job is gone")
    ended(submit(bob))  # endings are written in order: that of the lost job would be there by now
    job.refresh_from_db()
    assert (job.status, job.worker_id) == (states.RUNNING, "other")
    assert not ExecutionLog.objects.filter(job=job).exists()
    assert "lease_lost" in platform.output_of(worker)
    assert "fenced" not in platform.output_of(worker)


def test_a_killed_job_process_is_retried(platform: Processes, worker: Any, bob: User, submit: Submit) -> None:
    platform.start("runscheduler")
    command = 'if [ "$SMARTQUEUE_ATTEMPT" = 1 ]; then kill -9 $PPID; sleep 60; fi; echo survived'
    job = ended(shell(submit, bob, command))
    assert (job.status, job.attempt) == (states.DONE, 2)
    assert ExecutionLog.objects.filter(job=job, attempt=1, outcome="crashed").exists()


def test_sigterm_hands_unfinished_jobs_back_without_costing_an_attempt(
    platform: Processes, bob: User, submit: Submit
) -> None:
    worker = platform.start("runworker", "--grace", "0.2")
    wait_until(lambda: Worker.objects.filter(status="active").exists(), 60, "the worker starts")
    job = shell(submit, bob, "sleep 600")
    running(job)
    assert platform.stop(worker) == 0, platform.output_of(worker)
    job.refresh_from_db()
    assert (job.status, job.retry_count) == (states.QUEUED, 0)
    assert Worker.objects.get().status == "stopped"


def test_sigterm_lets_short_jobs_end(platform: Processes, worker: Any, bob: User, submit: Submit) -> None:
    job = shell(submit, bob, "sleep 1; echo finished")
    running(job)
    assert platform.stop(worker) == 0, platform.output_of(worker)
    job.refresh_from_db()
    assert job.status == states.DONE


def test_a_worker_that_was_stopped_past_its_lease_records_nothing(
    platform: Processes, worker: Any, bob: User, submit: Submit
) -> None:
    platform.start("runscheduler")
    job = shell(submit, bob, "sleep 0.5; echo done")
    running(job)
    first = Worker.objects.get().worker_id
    worker.send_signal(signal.SIGSTOP)
    platform.start("runworker")
    job = ended(job, timeout=60)
    worker.send_signal(signal.SIGCONT)
    assert (job.status, job.attempt) == (states.DONE, 2)
    assert job.worker_id != first
    wait_until(
        lambda: "fenced" in platform.output_of(worker) or "lease_lost" in platform.output_of(worker),
        20,
        "fence",
    )
    assert ExecutionLog.objects.filter(job=job, final=True).count() == 1


def test_worker_goes_on_after_its_connections_were_cut(worker: Any, bob: User, submit: Submit) -> None:
    ended(submit(bob))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert cursor.rowcount > 0
    connection.pool.check()  # the test's own pool lost its idle connections too
    assert ended(submit(bob)).status == states.DONE
    assert worker.poll() is None


def test_only_the_types_that_were_asked_for(platform: Processes, bob: User, submit: Submit) -> None:
    platform.start("runworker", "--types", "python")
    wait_until(lambda: Worker.objects.filter(status="active").exists(), 60, "the worker starts")
    left = shell(submit, bob, "true")
    ended(submit(bob))
    left.refresh_from_db()
    assert left.status == states.QUEUED


def test_an_unknown_type_is_refused_with_the_known_ones(platform: Processes) -> None:
    process = platform.start("runworker", "--types", "cobol")
    assert process.wait(timeout=30) != 0
    assert "unknown cobol; expected some of http, shell" in platform.output_of(process)
