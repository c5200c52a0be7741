from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
from pathlib import Path

import pytest

from jobs.executors import attempt, outcomes, process
from jobs.executors.base import Outcome
from jobs.executors.output import DROPPED, MAX_LINES
from jobs.executors.process import CannotStart, ForkServer, JobProcesses
from tests.executors import light_functions
from tests.executors.conftest import Runner, all_gone, make_spec
from tests.waiting import wait_until

pytestmark = pytest.mark.asyncio

SLOW_S = 1.0  # what tests.executors.slow_to_import takes


async def lines_of(runner: Runner, number: int) -> list[str]:
    """The first lines of the job that runs now, as soon as they are there."""
    async with asyncio.timeout(10):
        while len(runner.lines) < number:
            await asyncio.sleep(0.01)
    return [text for _, text in runner.lines]


async def test_done(runner: Runner) -> None:
    outcome = await runner.call("add", 1, 2)
    assert (outcome.status, outcome.result, outcome.error) == ("done", 3, "")
    assert outcome.runtime_ms > 0
    assert runner.lines == []


async def test_a_large_payload_arrives(runner: Runner) -> None:
    outcome = await runner.call("echo", "é" * 120_000)
    assert outcome.result == {"args": ["é" * 120_000], "kwargs": {}}


async def test_errors_of_functions(runner: Runner) -> None:
    outcome = await runner.call("t.divide", 1, 0)
    assert (outcome.status, outcome.retryable) == ("failed", True)
    assert outcome.error == "ZeroDivisionError: division by zero"
    assert "in divide" in runner.text("stderr")
    later = await runner.call("t.raise_later", "90")
    assert (later.error, later.retryable, later.retry_after_s) == ("try later", True, 90)
    never = await runner.call("t.raise_for_good")
    assert (never.error, never.retryable, runner.lines) == ("never" + outcomes.NOT_RETRIED, False, [])
    assert "lambda" in (await runner.call("fail", "a\x00 lambda")).error


@pytest.mark.parametrize(
    ("wanted", "given"),
    [("nan", None), ("-1e300", 0.0), ("inf", 86_400.0), ("1e300", 86_400.0), ("soon", None), ("2.5", 2.5)],
)
async def test_when_to_try_again_can_be_stored(runner: Runner, wanted: str, given: float | None) -> None:
    outcome = await runner.call("t.raise_later", wanted)
    assert (outcome.status, outcome.error, outcome.retry_after_s) == ("failed", "try later", given)


async def test_error_texts_can_be_stored(runner: Runner) -> None:
    outcome = await runner.call("t.raise_text", "\x00a\ud800" + "x" * 20_000)
    assert outcome.error == ("a\ufffd" + "x" * 20_000)[: outcomes.MAX_ERROR_CHARACTERS]


@pytest.mark.parametrize(
    ("report", "status", "words"),
    [
        ('{"outcome": {"status": "failed", "error": "a\\u0000b", "retryable": true, "retry_after_s": NaN}}',
         "failed", "ab"),
        ('{"outcome": {"status": "done", "result": ["\\u0000"]}}', "failed", "cannot be stored"),
        ('{"outcome": {"status": "done", "result": NaN}}', "failed", "cannot be stored"),
        ('{"outcome": {"status": "bored", "x": 1}}', "crashed", "no outcome"),
        ('{"outcome": 5}', "crashed", "no outcome"),
        ('{"job": "x"}\n5\n["job"]', "crashed", "exit code 0"),
        ("[" * 100_000, "crashed", "exit code 0"),
    ],
)  # fmt: skip
async def test_a_job_that_forges_its_report(runner: Runner, report: str, status: str, words: str) -> None:
    outcome = await runner.call("t.forge", report)
    assert (outcome.status, outcome.retry_after_s) == (status, None)
    assert words in outcome.error


async def test_an_unknown_function_is_permanent(runner: Runner) -> None:
    outcome = await runner.call("t.unknown")
    assert (outcome.status, outcome.retryable) == ("failed", False)
    assert 'No function is registered as "t.unknown"' in outcome.error
    outcome = await runner.call("add", 1)
    assert (outcome.retryable, "missing a required argument" in outcome.error) == (False, True)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("nan", "not JSON compliant"),
        ("set", "not JSON serializable"),
        ("nul", "result.a.0: Expected text without NUL"),
        ("surrogate", "surrogates"),
        ("large", "256 KiB"),
    ],
)
async def test_a_result_that_cannot_be_stored_is_permanent(runner: Runner, what: str, words: str) -> None:
    outcome = await runner.call("t.give", what)
    assert (outcome.status, outcome.retryable) == ("failed", False)
    assert words in outcome.error


async def test_results_at_the_limit(runner: Runner) -> None:
    assert len((await runner.call("t.give", "just fits")).result) == 256 * 1024 - 2
    assert (await runner.call("t.give", "tuple")).result == {"a": [1, 2]}


async def test_crashes(runner: Runner) -> None:
    killed = await runner.shell("kill -9 $PPID; sleep 1000")
    assert (killed.status, killed.retryable) == ("crashed", True)
    assert "killed by SIGKILL" in killed.error
    assert "killed by SIGSEGV" in (await runner.call("t.segfault")).error
    left = await runner.call("t.leave", 3)
    assert (left.status, "exit code 3" in left.error) == ("crashed", True)
    assert (await runner.shell("kill -9 0; sleep 1000")).status == "crashed"


async def test_a_killed_guard_takes_nothing_with_it(runner: Runner) -> None:
    guard = "$(ps -o ppid= -p $PPID)"
    outcome = await runner.shell(f"sleep 1000 & echo $!; kill -9 {guard}; echo on")
    assert outcome.status == "done"
    all_gone(int(runner.lines[0][1]))


async def test_exit_codes_of_commands(runner: Runner) -> None:
    assert (await runner.shell("true")).result == {"exit_code": 0}
    failed = await runner.shell("exit 3")
    assert (failed.status, failed.retryable, failed.error) == (
        "failed",
        True,
        "The command ended with exit code 3.",
    )
    missing = await runner.shell("no-such-command")
    assert (missing.retryable, "127" in missing.error) == (False, True)
    forbidden = await runner.shell("/dev/null")
    assert (forbidden.retryable, "126" in forbidden.error) == (False, True)
    assert "killed by SIGTERM" in (await runner.shell("kill -TERM $$")).error


async def test_output_comes_while_the_job_runs(runner: Runner) -> None:
    job = asyncio.create_task(runner.call("t.wait_with_output"))
    assert await lines_of(runner, 1) == ["waiting"]
    assert not job.done()
    runner.stop.set()
    assert (await job).status == "cancelled"


async def test_output_is_complete(runner: Runner) -> None:
    await runner.shell("echo a; echo b >&2; printf '\\377\\000c'; seq 3000")
    assert ("stderr", "b") in runner.lines
    assert runner.text().split("\n") == ["a", "\ufffdc1", *map(str, range(2, 3001))]
    await runner.call("t.write", "no end")
    assert runner.lines == [("stdout", "no end")]
    await runner.call("t.write", "é\n", 5)
    assert runner.lines == [("stdout", "é")] * 5


async def test_a_flood_of_output_neither_blocks_nor_grows(runner: Runner) -> None:
    outcome = await runner.shell("head -c 8000000 /dev/zero; yes | head -n 100000; echo end")
    assert outcome.status == "done"
    assert runner.lines == [("system", DROPPED)]
    outcome = await runner.shell("yes", timeout_s=0.5)
    assert outcome.status == "timeout"
    assert len(runner.lines) == MAX_LINES + 1


async def test_standard_input_is_empty(runner: Runner) -> None:
    assert (await runner.call("t.read_stdin")).result == ""
    assert (await runner.shell("cat")).status == "done"


async def test_a_timeout_asks_first(runner: Runner) -> None:
    outcome = await runner.shell("trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done", timeout_s=0.3)
    assert (outcome.status, outcome.error) == ("timeout", "The job ran longer than its limit of 0.3 seconds.")
    assert ("stdout", "bye") in runner.lines


async def test_a_timeout_kills_what_does_not_listen(runner: Runner) -> None:
    outcome = await runner.shell("trap '' TERM; sh -c 'echo $$; sleep 1000' & sleep 1000", timeout_s=0.3)
    assert outcome.status == "timeout"
    all_gone(int(runner.lines[0][1]))


async def test_a_stop_before_the_start(runner: Runner) -> None:
    runner.stop.set()
    assert (await runner.call("sleep", 1000)).status == "cancelled"


async def test_a_stop_ends_every_process_of_the_job(runner: Runner) -> None:
    job = asyncio.create_task(runner.shell("sleep 1000 & echo $!; echo $$; wait"))
    pids = [int(line) for line in await lines_of(runner, 2)]
    runner.stop.set()
    assert await job == Outcome("cancelled", (await job).runtime_ms, error="The job was stopped.")
    all_gone(*pids)


async def test_a_job_that_holds_the_interpreter_is_stopped(runner: Runner, tmp_path: Path) -> None:
    job = asyncio.create_task(runner.call("t.hold_the_interpreter", str(tmp_path / "pid")))
    pid = int(await asyncio.to_thread(wait_until, lambda: _read(tmp_path / "pid")))
    runner.stop.set()
    assert (await job).status == "cancelled"
    all_gone(pid)


async def test_a_cancelled_task_ends_the_job(runner: Runner) -> None:
    job = asyncio.create_task(runner.shell("sleep 1000 & echo $!; wait"))
    [pid] = [int(line) for line in await lines_of(runner, 1)]
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    all_gone(pid)


async def test_nothing_stays_behind_after_a_job_that_is_done(runner: Runner) -> None:
    outcome = await runner.shell("sleep 1000 & echo $!; (trap '' TERM HUP; sleep 1000) & echo $!")
    assert outcome.status == "done"
    all_gone(*(int(text) for _, text in runner.lines))


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="finding these needs Linux")
async def test_not_even_a_process_that_left_the_group(runner: Runner) -> None:
    outcome = await runner.call("t.leave_a_daemon")
    assert outcome.status == "done"
    all_gone(outcome.result)


async def test_the_working_folder_is_private_empty_and_gone_afterwards(runner: Runner) -> None:
    await runner.shell("pwd; ls -A; ls -ld . | cut -c1-10; mkdir -p a/b; echo x > a/b/c; echo $HOME")
    folder, mode, home = (text for _, text in runner.lines)
    assert (mode, home) == ("drwx------", folder)
    assert not Path(folder).exists()
    await runner.shell("pwd; touch left; kill -9 $PPID")
    assert not Path(runner.lines[0][1]).exists()


async def test_a_group_and_a_session_of_its_own(runner: Runner) -> None:
    pids = (await runner.call("t.pids")).result
    assert pids["job"] == pids["group"] == pids["session"]
    assert pids["session"] != os.getsid(0)


async def test_many_at_once_and_no_descriptor_is_left(runner: Runner) -> None:
    before = len(os.listdir("/dev/fd"))
    jobs = [runner.processes.run(make_spec("python", {"function": "echo", "args": [n]}), on_line=runner.on_line,
                                 stop=runner.stop) for n in range(40)]  # fmt: skip
    outcomes = await asyncio.gather(*jobs)
    assert [outcome.result["args"] for outcome in outcomes] == [[n] for n in range(40)]
    assert len(os.listdir("/dev/fd")) == before


async def test_a_killed_fork_server_is_replaced() -> None:
    with JobProcesses() as processes:
        runner = Runner(processes)
        job = asyncio.create_task(runner.shell("echo up; sleep 0.5"))
        await lines_of(runner, 1)
        server = await _fork_server_of(runner)
        os.kill(server, signal.SIGKILL)
        all_gone(server)
        assert (await runner.call("noop")).status == "done"
        assert (await job).status == "done"


async def test_a_job_that_a_killed_fork_server_had_not_started_is_started_again() -> None:
    with JobProcesses() as processes:
        runner = Runner(processes)
        server = await _fork_server_of(runner)
        os.kill(server, signal.SIGSTOP)
        job = asyncio.create_task(runner.call("add", 1, 1))
        while not processes._running:  # once it is there, the request has been sent
            await asyncio.sleep(0)
        os.kill(server, signal.SIGKILL)
        assert (await job).result == 2


async def test_where_no_process_can_be_started_the_worker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_LIGHT", ("no_such_module",))
    with JobProcesses() as processes:
        with pytest.raises(OSError, match="could not be started"):
            await Runner(processes).call("noop")
        assert list(Path(processes._root).iterdir()) == []


async def test_the_start_of_a_fork_server_is_no_time_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_LIGHT", ("tests.executors.slow_to_import",))
    with JobProcesses() as processes:
        outcome = await Runner(processes).call("noop", timeout_s=SLOW_S * 0.8)
    assert outcome.status == "done"
    assert outcome.runtime_ms < SLOW_S * 1000


async def test_a_start_that_never_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    with JobProcesses() as processes:
        runner = Runner(processes)
        server = await _fork_server_of(runner)
        monkeypatch.setattr(attempt, "START_LIMIT_S", 0.1)
        monkeypatch.setattr(attempt, "_GONE_S", 0.1)
        os.kill(server, signal.SIGSTOP)
        try:
            with pytest.raises(CannotStart, match=r"within 0\.1 seconds"):
                await runner.call("noop", timeout_s=1000)
            runner.stop.set()
            assert await runner.call("noop") == Outcome("cancelled", 0.0, error="The job was stopped.")
        finally:
            os.kill(server, signal.SIGCONT)


async def test_no_room_for_a_working_folder(tmp_path: Path) -> None:
    with JobProcesses() as processes:
        processes._root.rmdir()
        processes._root.write_text("in the way")
        with pytest.raises(CannotStart):
            await Runner(processes).call("noop")
        processes._root.unlink()
        assert (await Runner(processes).call("noop")).status == "done"


async def test_no_descriptor_left_for_a_job(runner: Runner) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/dev/fd"))
    await runner.call("noop")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(used, 3), limits[1]))
    try:
        with pytest.raises(CannotStart, match="Too many open files"):
            await runner.call("noop")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert (await runner.call("noop")).status == "done"


async def test_a_fork_server_that_lingers_does_not_hold_up_the_worker() -> None:
    """It has lost its connection, waits for its job, and would then remove the folder of all jobs."""
    with JobProcesses() as processes:
        runner = Runner(processes)
        job = asyncio.create_task(runner.shell("echo up; sleep 2"))
        await lines_of(runner, 1)
        processes._server(process._LIGHT)._socket.shutdown(socket.SHUT_RDWR)
        assert (await Runner(processes).call("noop")).status == "done"
        assert not job.done()
        assert (await job).status == "done"
        assert processes._root.exists()


async def test_a_fork_server_that_takes_no_more_is_replaced() -> None:
    with JobProcesses() as processes:
        server = processes._server(process._LIGHT)
        hangs = server._process
        os.kill(hangs.pid, signal.SIGSTOP)
        with open(os.devnull) as nothing:
            while server._process is hangs:
                server.fork([nothing.fileno()] * 3)
        assert (await Runner(processes).call("noop")).status == "done"


async def test_the_end_of_one_fork_server_leaves_the_folder_that_all_share(tmp_path: Path) -> None:
    ForkServer(tmp_path, process._LIGHT).close()
    assert tmp_path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere orphans do not come to the guard")
async def test_orphans_that_ended_are_reaped_while_the_job_runs(runner: Runner) -> None:
    count = "ps -A -o ppid=,stat= | awk -v g=$g '$1 == g && $2 ~ /^Z/' | wc -l"
    await runner.shell(
        "g=$(ps -o ppid= -p $PPID | tr -d ' '); for i in $(seq 50); do (true &); done; "
        f"for i in $(seq 200); do n=$({count}); [ $n = 0 ] && break; sleep 0.05; done; echo $n"
    )
    assert runner.text().strip() == "0"


async def _fork_server_of(runner: Runner) -> int:
    other = Runner(runner.processes)
    await other.shell("ps -o ppid= -p $(ps -o ppid= -p $PPID)")
    return int(other.text())


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_closing_kills_what_still_runs() -> None:
    with JobProcesses() as processes:
        runner = Runner(processes)
        job = asyncio.create_task(runner.shell("pwd; echo $$; sleep 1000"))
        folder, pid = await lines_of(runner, 2)
    all_gone(int(pid))
    assert not Path(folder).parent.exists()
    assert (await job).status == "crashed"


async def test_a_coroutine_function_and_about_work_in_a_process_of_its_own_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    light_functions.load(monkeypatch)
    with JobProcesses() as processes:
        outcome = await Runner(processes).call("light.about")
    assert outcome.result == [7, 2, "idem-7"]
