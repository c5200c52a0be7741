"""Light functions in a real worker: crashes, limits, what is given back, pause and drain."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from jobs import notify, services, states
from jobs.models import ExecutionLog, Job, JobEvent, LogLine, Worker
from orgs.models import User
from predictor.models import RunHistory
from predictor.selectors import window_of
from tests.executors import light_functions
from tests.processes import Processes, alive, processes
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Submit = Callable[..., Job]


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    light_functions.load(monkeypatch)
    with processes(
        tmp_path,
        SMARTQUEUE_LEASE_S="5",
        SMARTQUEUE_HEARTBEAT_S="0.5",
        SMARTQUEUE_RETRY_BASE_S="0.01",
        SMARTQUEUE_FUNCTIONS=light_functions.MODULE,
    ) as made:
        yield made


def start_worker(platform: Processes, *options: str) -> Any:
    known = set(Worker.objects.values_list("pk", flat=True))
    process = platform.start("runworker", *options)
    wait_until(lambda: Worker.objects.exclude(pk__in=known).exists(), 60, "the worker starts")
    return process


@pytest.fixture
def worker(platform: Processes) -> Any:
    return start_worker(platform, "--concurrency", "3", "--grace", "5")


def call(submit: Submit, user: User, function: str, *args: Any, **fields: Any) -> Job:
    return submit(user, payload={"function": function, "args": list(args)}, **fields)


def count(*statuses: str) -> int:
    return Job.objects.filter(status__in=statuses).count()


def ended(job: Job, timeout: float = 30) -> Job:
    def final() -> bool:
        job.refresh_from_db()
        return job.is_final

    wait_until(final, timeout, f"job {job.pk} ends")
    return job


def written(path: Path) -> int:
    return int(wait_until(lambda: path.exists() and path.read_text(), 20, f"{path.name} is written"))


def test_many_jobs_end_with_log_events_and_count(worker: Any, bob: User, submit: Submit) -> None:
    jobs = [call(submit, bob, "echo", number) for number in range(200)]
    wait_until(lambda: count(states.DONE) == len(jobs), 30, "all are done")
    assert [job.result["args"] for job in Job.objects.order_by("pk")] == [[number] for number in range(200)]
    assert ExecutionLog.objects.filter(outcome="done", final=True).count() == len(jobs)
    assert JobEvent.objects.count() == 3 * len(jobs)
    wait_until(lambda: Worker.objects.get().jobs_processed == len(jobs), 10, "the worker has told its count")


def test_predictions_know_of_what_a_worker_ran(worker: Any, bob: User, submit: Submit) -> None:
    for _ in range(3):
        ended(call(submit, bob, "noop", name="known"))
    call(submit, bob, "light.leave", name="known", max_retries=0)

    def count_known() -> int:
        known = RunHistory.objects.filter(org=bob.org, job_type="python", job_name="known", user_id=bob.pk)
        return sum(known.values_list("count", flat=True))

    wait_until(lambda: count_known() == 4, 20, "all four are in the window")
    window = RunHistory.objects.get(job_name="known", user_id=bob.pk)
    runs = window_of(window.runs, window.count).runs
    assert [(run.ended, run.done) for run in runs] == [(1.0, 1.0)] * 3 + [(0.0, 0.0)]
    now = timezone.now().timestamp()
    assert all(now - 60 < run.asked_at <= run.ended_at <= now for run in runs)
    assert submit(bob, name="known").prediction_source == "base"


def test_output_is_stored_before_the_ending(worker: Any, bob: User, submit: Submit) -> None:
    job = ended(call(submit, bob, "light.say", "one\ntwo\nno end"))
    lines = LogLine.objects.filter(job=job, logged_at__lte=job.finished_at).order_by("seq")
    assert list(lines.values_list("text", flat=True)) == ["one", "two", "no end"]


def test_a_poison_job_ends_as_dead_letter_and_costs_the_others_nothing(
    platform: Processes, worker: Any, bob: User, submit: Submit
) -> None:
    platform.start("runscheduler")
    poison = call(submit, bob, "light.leave", max_retries=1)
    others = [call(submit, bob, "noop") for _ in range(30)]
    assert ended(poison).status == states.FAILED
    assert "exit code 3" in poison.error_msg
    assert list(poison.executions.order_by("attempt").values_list("outcome", flat=True)) == [
        "crashed",
        "crashed",
    ]
    wait_until(lambda: count(states.DONE) == len(others), 20, "the others are done")
    assert not Job.objects.filter(retry_count__gt=0).exclude(pk=poison.pk).exists()
    assert worker.poll() is None


def test_timeout_of_a_function_that_holds_the_interpreter(
    worker: Any, bob: User, submit: Submit, tmp_path: Path
) -> None:
    job = call(submit, bob, "light.block", 600, str(tmp_path / "pid"), timeout_s=1, max_retries=0)
    pid = written(tmp_path / "pid")
    assert ended(job).status == states.FAILED
    assert ExecutionLog.objects.get(job=job).outcome == "timeout"
    wait_until(lambda: not alive(pid), 10, "its process is gone")


@pytest.mark.parametrize("function", ["light.block", "light.wait", "light.refuse_to_end"])
def test_cancel_of_a_running_one(
    worker: Any, bob: User, submit: Submit, tmp_path: Path, function: str
) -> None:
    path = str(tmp_path / "pid")
    job = call(submit, bob, function, *([path] if function == "light.refuse_to_end" else [600, path]))
    written(tmp_path / "pid")
    services.cancel(job=job, user=bob)
    job = ended(job)
    assert (job.status, job.result) == (states.CANCELLED, None)
    assert ended(call(submit, bob, "noop")).status == states.DONE


def test_a_limit_on_memory_asks_for_a_process_of_its_own(worker: Any, bob: User, submit: Submit) -> None:
    together = {ended(call(submit, bob, "light.pid")).result for _ in range(2)}
    limited = call(submit, bob, "light.pid", memory_mb=512)
    assert len(together) == 1
    assert ended(limited).result not in together


def test_what_waits_behind_a_slow_one_is_given_back(
    worker: Any, platform: Processes, bob: User, submit: Submit, tmp_path: Path
) -> None:
    """With three slots and each taken by a function that blocks, nothing else may stay with this worker."""
    slow = [call(submit, bob, "light.block", 600, str(tmp_path / f"{number}")) for number in range(3)]
    for number in range(3):
        written(tmp_path / f"{number}")
    quick = [call(submit, bob, "noop") for _ in range(5)]
    start_worker(platform)
    for job in quick:
        assert ended(job).status == states.DONE
    assert set(Job.objects.filter(pk__in=[job.pk for job in slow]).values_list("status", flat=True)) == {
        states.RUNNING
    }


def test_kill_of_the_worker_ends_the_kept_process(
    platform: Processes, worker: Any, bob: User, submit: Submit, tmp_path: Path
) -> None:
    call(submit, bob, "light.block", 600, str(tmp_path / "pid"))
    pid = written(tmp_path / "pid")
    platform.kill(worker)
    wait_until(lambda: not alive(pid), 10, "the kept process is gone")


def test_sigterm_hands_back_what_runs_and_what_waits(
    platform: Processes, bob: User, submit: Submit, tmp_path: Path
) -> None:
    worker = start_worker(platform, "--concurrency", "2", "--grace", "0.2")
    jobs = [call(submit, bob, "light.wait", 600, str(tmp_path / f"{number}")) for number in range(2)]
    for number in range(2):
        written(tmp_path / f"{number}")
    jobs.append(call(submit, bob, "noop"))
    assert platform.stop(worker) == 0, platform.output_of(worker)
    assert set(Job.objects.values_list("status", "retry_count")) <= {(states.QUEUED, 0), (states.DONE, 0)}
    assert not ExecutionLog.objects.filter(job__in=jobs[:2]).exists()


def test_a_lost_lease_stops_a_light_job_and_records_nothing(
    platform: Processes, worker: Any, bob: User, submit: Submit, tmp_path: Path
) -> None:
    job = call(submit, bob, "light.wait", 2, str(tmp_path / "pid"))
    written(tmp_path / "pid")
    Job.objects.update(worker_id="other")
    wait_until(lambda: "lease_lost" in platform.output_of(worker), 20, "the worker notices")
    ended(submit(bob))
    assert not ExecutionLog.objects.filter(job=job).exists()
    assert "fenced" not in platform.output_of(worker)


def tell(wanted: str) -> None:
    Worker.objects.filter(status="active").update(wanted=wanted)
    notify.control_changed(Worker.objects.get(wanted=wanted).worker_id)


def test_a_worker_that_is_told_to_pause_goes_on_when_it_is_told_to_run(
    platform: Processes, worker: Any, bob: User, submit: Submit
) -> None:
    ended(call(submit, bob, "noop"))
    tell("pause")
    wait_until(lambda: "action=pause" in platform.output_of(worker), 5, "the worker has heard")
    left = call(submit, bob, "noop")
    with pytest.raises(AssertionError):
        wait_until(lambda: count(states.QUEUED) == 0, 1.0, "a paused worker claims")
    tell("run")
    assert ended(left, timeout=5).status == states.DONE


def test_a_worker_that_is_told_to_drain_lets_its_jobs_end_and_stops(
    platform: Processes, worker: Any, bob: User, submit: Submit, tmp_path: Path
) -> None:
    job = call(submit, bob, "light.wait", 1.0, str(tmp_path / "pid"))
    written(tmp_path / "pid")
    tell("drain")
    assert worker.wait(timeout=20) == 0, platform.output_of(worker)
    job.refresh_from_db()
    assert (job.status, Worker.objects.get().status) == (states.DONE, "stopped")


def test_only_the_queues_that_were_asked_for(platform: Processes, bob: User, submit: Submit) -> None:
    worker = start_worker(platform, "--queues", "reports, mail")
    assert (Worker.objects.get().queues, Worker.objects.get().lock_key is None) == (
        ["reports", "mail"],
        False,
    )
    assert "queues=reports,mail" in platform.output_of(worker)
    left, taken = call(submit, bob, "noop"), call(submit, bob, "noop", queue="mail")
    ended(taken)
    left.refresh_from_db()
    assert left.status == states.QUEUED


@pytest.mark.parametrize(
    ("option", "expected"), [("--queues", "names of queues"), ("--types", "some of http")]
)
def test_an_empty_list_is_refused(platform: Processes, option: str, expected: str) -> None:
    process = platform.start("runworker", option, " , ")
    assert process.wait(timeout=30) != 0
    assert f"{option}: expected {expected}" in platform.output_of(process)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--queues", "a,,b", "--queues: expected names of queues, as in default,reports; a name is empty in 'a,,b'"),
        ("--queues", "a,b/x", "--queues: 'b/x' cannot be used; expected names of queues"),
        ("--grace", "-1", "argument --grace: expected a number of seconds from 0 to 3600, got '-1'"),
        ("--grace", "nan", "argument --grace: expected a number of seconds from 0 to 3600, got 'nan'"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_used_are_named(option: str, value: str, expected: str) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("runworker", f"{option}={value}")
    assert expected in str(refused.value)


def test_the_listening_session_holds_the_workers_lock_again_after_it_was_cut(
    platform: Processes, worker: Any
) -> None:
    def holder() -> int | None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND (classid::bigint << 32) | objid::bigint = %s",
                [Worker.objects.get().lock_key],
            )
            row = cursor.fetchone()
        return row and row[0]

    first = wait_until(holder, 10, "the lock is held")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [first])
    wait_until(lambda: holder() not in (None, first), 10, "the lock is held again")


def test_a_stopped_kept_process_does_not_stop_the_heartbeat(
    platform: Processes, worker: Any, bob: User, submit: Submit
) -> None:
    """A worker is not its jobs: past the lease it still holds what a frozen process has not ended."""
    import os

    pid = ended(call(submit, bob, "light.pid")).result
    os.kill(pid, signal.SIGSTOP)
    job = call(submit, bob, "noop", timeout_s=60)
    wait_until(
        lambda: JobEvent.objects.filter(job=job, new_status=states.RUNNING).exists(), 10, "it is claimed"
    )
    assert ended(job).status == states.DONE
    os.kill(pid, signal.SIGCONT)
