"""The process that a worker keeps for light functions: what runs there.

A guard forks it like the process of a job (see `guard`), so nothing of it outlives the worker. Calls come
in frames over a socket and are begun in order: a plain function runs at once, to its end; a coroutine
function runs as a task, so many at a time as the worker has slots. Endings and output go back in batches,
one line of JSON each: {"ended": [[number, runtime_ms, outcome], ...], "text": [[number, stream, text], ...]},
where an outcome is a dict of its fields, DONE without a result, or NOT_BEGUN.

Three numbers in shared memory (`kept_wire.Board`) say what cannot be asked of a process that is busy or
dead: the last call that was begun, the plain function that runs now, and whether the rest is withdrawn.
"""

from __future__ import annotations

import asyncio
import json
import marshal
import os
import signal
import socket
import sys
import traceback
from asyncio import Task, TimerHandle
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NoReturn

import uvloop

from jobs import functions
from jobs.executors import child, outcomes
from jobs.executors.base import JobError, PermanentError, Snooze
from jobs.executors.kept_output import JobOutput
from jobs.executors.kept_wire import DONE, NOT_BEGUN, Board, Call, Frames, clock, current

Fields = dict[str, Any]

SLICE_S = 0.004  # how long endings may wait for others before they are sent
FAST_S = 0.001
SEND_LIMIT_S = 600.0

_READ_BYTES = 262_144

# From Python 3.12 on a coroutine that never awaits costs no turn of the loop.
_EAGERLY: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


def live(control: socket.socket, order: Fields, data: int, board: int) -> NoReturn:
    """The whole life of the process. The order says: environment, folder, modules, slots."""
    try:
        os.setsid()
        for descriptor in (control.fileno(), data, board):
            os.set_inheritable(descriptor, False)
        child.send(control, {"job": os.getpid()})
        _settle(order)
        worker = socket.socket(fileno=data)
        unloaded = _load(order["modules"])
        _silence_standard_streams()
        uvloop.run(_serve(worker, Board(board), order["slots"], unloaded))
    except ConnectionError:
        pass  # the worker is gone, and the guard sees to the rest
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


async def _serve(worker: socket.socket, board: Board, slots: int, unloaded: str) -> None:
    await Server(worker, board, slots, unloaded).ended.wait()


class Server:
    """Begins calls as they come, and answers.

    What `_flush` has sent is out of this process, whatever the next function does to it: it waits until all of it is,
    for the worker always reads.
    """

    def __init__(self, worker: socket.socket, board: Board, slots: int, unloaded: str) -> None:
        self.ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._worker = worker
        self._board = board
        self._slots = slots
        self._unloaded = unloaded
        self._frames = Frames()
        self._queue: deque[Call] = deque()
        self._tasks: dict[int, Task[None]] = {}
        self._reasons: dict[int, Fields] = {}
        self._fast: set[str] = set()
        self._answers: list[tuple[int, float, Any]] = []
        self._output = JobOutput(self._loop, flush=self._flush, flush_soon=self._work_soon)
        self._is_working = False
        sys.stdout, sys.stderr = self._output.stream("stdout"), self._output.stream("stderr")
        worker.settimeout(SEND_LIMIT_S)
        worker.sendall(b'{"ready": true}\n')
        self._loop.add_reader(worker.fileno(), self._read)

    def _read(self) -> None:
        data = self._worker.recv(_READ_BYTES)
        if not data:
            os._exit(0)
        for frame in self._frames.feed(data):
            kind, value = marshal.loads(frame)  # noqa: S302 - from the worker
            if kind == "calls":
                self._queue.extend(value)
            elif kind == "stop":
                self._stop(value, outcomes.cancelled())
            elif kind == "release":
                self._release(set(value))
        self._work()

    def _work_soon(self) -> None:
        if not self._is_working:
            self._is_working = True
            self._loop.call_soon(self._work)

    def _work(self) -> None:
        """Begin calls for a short time, then let tasks and the socket have their turn."""
        self._is_working = False
        until = clock() + SLICE_S
        while self._queue and len(self._tasks) < self._slots and self._may_begin(self._queue[0]):
            self._begin(self._queue.popleft())
            if self._queue and clock() > until:
                self._work_soon()
                break
        self._flush()
        if self._board.is_withdrawn() and not self._tasks and not self._queue:
            self.ended.set()

    def _may_begin(self, call: Call) -> bool:
        """False once the worker has taken back the rest.

        First the board says that the call is begun, then it is asked whether it may be. The worker withdraws
        first and then looks what was begun: so one of the two sees the other. If it sees this call as begun, it
        learns otherwise by the answer.
        """
        if not self._board.is_withdrawn():
            self._board.begun = call[0]
            if not self._board.is_withdrawn():
                return True
            self._answers.append((call[0], 0.0, NOT_BEGUN))
        self._queue.clear()
        return False

    def _begin(self, call: Call) -> None:
        name = call[4]
        try:
            function = functions.get(name)
        except functions.UnknownFunction as error:
            fields = outcomes.failed(self._unloaded or str(error), retryable=bool(self._unloaded))
            self._answers.append((call[0], 0.0, fields))
            return
        current.set(call)
        self._output.begin(call[0])
        if functions.is_coroutine(name):
            self._begin_task(call, self._perform(call, function))
        else:
            self._call(call, function)
        current.set(None)

    def _call(self, call: Call, function: Callable[..., Any]) -> None:
        name, args, kwargs = call[4:7]
        if name not in self._fast:
            self._flush()  # what ended before must not be lost with a function that does not end
        self._board.running = call[0]
        started = clock()
        try:
            fields = _done(function(*args, **kwargs))
        except BaseException as error:
            fields = _failure(call, error)
        took_s = clock() - started
        self._board.running = 0
        if took_s > FAST_S:
            self._fast.discard(name)
        else:
            self._fast.add(name)
        self._answers.append((call[0], round(took_s * 1000, 3), fields))

    def _begin_task(self, call: Call, coroutine: Coroutine[Any, Any, None]) -> None:
        number, limit_s = call[0], call[7]
        task = Task(coroutine, loop=self._loop, **_EAGERLY)
        if not task.done():
            self._tasks[number] = task
            timer = self._loop.call_later(limit_s, self._stop, number, outcomes.timed_out(limit_s))
            task.add_done_callback(lambda _: self._task_ended(number, timer))

    async def _perform(self, call: Call, function: Callable[..., Any]) -> None:
        started = clock()
        try:
            fields = _done(await function(*call[5], **call[6]))
        except BaseException as error:
            fields = self._reasons.get(call[0]) or _failure(call, error)
        took_ms = round((clock() - started) * 1000, 3)
        # Told to stop is told to stop, whatever it made of it.
        self._answers.append((call[0], took_ms, self._reasons.pop(call[0], fields)))
        self._work_soon()

    def _task_ended(self, number: int, timer: TimerHandle) -> None:
        timer.cancel()
        del self._tasks[number]
        if number in self._reasons:  # stopped before its first step: it has not answered
            self._answers.append((number, 0.0, self._reasons.pop(number)))
        self._work_soon()

    def _stop(self, number: int, reason: Fields) -> None:
        if number in self._tasks:
            self._reasons.setdefault(number, reason)
            self._tasks[number].cancel()
            return
        for call in self._queue:
            if call[0] == number:
                self._queue.remove(call)
                self._answers.append((number, 0.0, reason))
                return

    def _release(self, numbers: set[int]) -> None:
        self._answers += [(call[0], 0.0, NOT_BEGUN) for call in self._queue if call[0] in numbers]
        self._queue = deque(call for call in self._queue if call[0] not in numbers)

    def _flush(self) -> None:
        text = self._output.taken()
        if self._answers or text:
            message = json.dumps({"ended": self._answers, "text": text})
            self._output.forget(self._answers)
            self._answers.clear()
            self._worker.sendall(message.encode() + b"\n")


def _done(result: Any) -> Any:
    return DONE if result is None else {"status": "done", "result": child._storable(result)}


def _failure(call: Call, error: BaseException) -> Fields:
    if isinstance(error, TypeError):
        try:
            functions.check_arguments(*call[4:7])
        except TypeError as wrong:
            error = PermanentError(str(wrong))
    if isinstance(error, JobError):
        return outcomes.failed(str(error), retryable=error.retryable, retry_after_s=error.retry_after_s)
    if isinstance(error, Snooze):
        return outcomes.snoozed(error.delay_s)
    traceback.print_exception(error)
    return outcomes.failed(f"{type(error).__name__}: {error}", retryable=True)


def _settle(order: Fields) -> None:
    signal.set_wakeup_fd(-1)
    for default in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT):
        signal.signal(default, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])


def _silence_standard_streams() -> None:
    """What is written past sys.stdout and sys.stderr belongs to nobody that could be told."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (1, 2):
        os.dup2(nowhere, standard)
    os.close(nowhere)


def _load(modules: Sequence[str]) -> str:
    """Import the modules that register functions; why the first of them that cannot be cannot."""
    problem = ""
    for module in modules:
        try:
            functions.load([module])
        except functions.LoadError as error:
            problem = problem or str(error)
    return problem
