"""Light functions of one worker: which kept process runs what, and who is to blame when one dies.

There is one current process. One that a function blocks, or whose waiting calls are taken back, is
withdrawn: it ends what it has begun and then itself, and the next calls get a new one. A process that
must be killed, or dies by itself, is replaced; what it had not begun goes to its successor.

Belongs to the worker's event loop; knows neither Django nor the database. Used by `scheduler.pool`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from jobs import functions
from jobs.executors import outcomes
from jobs.executors.kept_process import KeptProcess
from jobs.executors.kept_wire import DONE, NOT_BEGUN, Call, clock
from jobs.executors.process import NO_ROOM_S, CannotStart, JobProcesses, NoRoom

logger = logging.getLogger(__name__)

T = TypeVar("T")
Fields = dict[str, Any]
Ended = tuple[T, Fields, float]  # the job, the fields of its outcome, milliseconds

TICK_S = 0.1
LONGEST_WAIT_S = 0.5  # a call that is not begun by then is taken back
STOP_GRACE_S = 1.2
PLAIN_STOP_GRACE_S = 0.3
MOST_STARTS = 3
_SETTLED_S = 0.01
_START_LIMIT_S = 60.0

_DONE: Fields = {"status": "done", "result": None}
_NOT_BEGUN: Fields = {"status": "released"}
_CRASHED_BESIDE: Fields = {
    "status": "crashed",
    "error": "The process for light functions ended because of another job that ran in it.",
}
STREAMS = ("stdout", "stderr")


class KeptJobs(Generic[T]):
    """`on_ended` gets batches; the status "released" says that a job did not run, or that its ending is not known."""

    def __init__(
        self,
        processes: JobProcesses,
        slots: int,
        *,
        call_of: Callable[[int, T], Call],
        on_ended: Callable[[list[Ended[T]]], None],
        on_text: Callable[[T, str, str], None],
        on_broken: Callable[[str], None],
    ) -> None:
        self._processes = processes
        self._slots = slots
        self._call_of = call_of
        self._on_ended = on_ended
        self._on_text = on_text
        self._on_broken = on_broken
        self._number = 0
        self._failed_starts = 0
        self._is_closed = False
        self._current: KeptProcess[T] | None = None
        self._all: set[KeptProcess[T]] = set()
        self._ticking: asyncio.TimerHandle | None = None

    @property
    def count(self) -> int:
        """How many were started and have not ended."""
        return sum(len(process.jobs) for process in self._all)

    def open(self) -> None:
        """Start the process before the first call comes."""
        with contextlib.suppress(NoRoom):
            self._process()

    def start(self, jobs: Sequence[T]) -> None:
        """Have these jobs called, in this order; without room for a process they are put off as "snoozed"."""
        try:
            process = self._process()
        except NoRoom as error:
            logger.warning("action=no_room jobs=%s error=%s", len(jobs), error)
            self._on_ended([(job, outcomes.snoozed(NO_ROOM_S), 0.0) for job in jobs])
            return
        if process is None:
            self._on_ended([(job, _NOT_BEGUN, 0.0) for job in jobs])
            return
        first = self._number + 1
        self._number += len(jobs)
        calls = [self._call_of(number, job) for number, job in enumerate(jobs, first)]
        process.call(calls, list(jobs))
        self._tick_later()

    def jobs(self) -> list[T]:
        """All that was started and has not ended."""
        return [job for process in self._all for job in process.jobs.values()]

    def stop(self, wanted: Callable[[T], bool]) -> None:
        """End these as "cancelled": a task is cancelled, a function that does not end is killed."""
        now = clock()
        for process in self._all:
            for number, job in process.jobs.items():
                if number not in process.stopping and wanted(job):
                    process.stopping.add(number)
                    grace_s = STOP_GRACE_S if self._is_coroutine(number, job) else PLAIN_STOP_GRACE_S
                    process.limits[number] = min(process.limits.get(number, now + grace_s), now + grace_s)
                    process.stop(number)

    def take_back(self, wanted: Callable[[T], bool] | None = None) -> None:
        """End as "released" what has not begun, within moments; or what of it is wanted, soon."""
        process = self._current
        if process is None:
            return
        unbegun = process.unbegun()
        if wanted is None:
            if unbegun:
                self._withdraw(process)
        elif numbers := [number for number in unbegun if wanted(process.jobs[number])]:
            process.release(numbers)

    def close(self) -> None:
        """Kill everything. What still ran is not told of."""
        self._is_closed = True
        if self._ticking is not None:
            self._ticking.cancel()
        for process in self._all:
            process.kill()

    def _process(self) -> KeptProcess[T] | None:
        if self._current is None and not self._is_closed:
            try:
                self._current = KeptProcess(self._processes, self._slots, self._heed, self._gone)
            except NoRoom:
                raise
            except CannotStart as error:
                self._on_broken(str(error))
            else:
                self._all.add(self._current)
        return self._current

    def _heed(self, process: KeptProcess[T], message: Fields) -> None:
        try:
            ended = [
                (number, process.jobs[number], self._outcome(process, number, answer), float(took_ms))
                for number, took_ms, answer in message["ended"]
                if number in process.jobs  # a call that was taken back may be answered too
            ]
            texts = [
                (process.jobs[number], stream, str(text))
                for number, stream, text in message["text"]
                if number in process.jobs and stream in STREAMS
            ]
        except (ValueError, TypeError, LookupError, AttributeError):
            process.kill()
            return
        if len({number for number, *_ in ended}) < len(ended):
            process.kill()
            return
        for job, stream, text in texts:
            self._on_text(job, stream, text)
        for number, *_ in ended:
            process.jobs.pop(number, None)
            process.limits.pop(number, None)
        self._end([(job, fields, took_ms) for _, job, fields, took_ms in ended])

    def _outcome(self, process: KeptProcess[T], number: int, answer: Any) -> Fields:
        if answer == DONE:
            return _DONE
        if answer == NOT_BEGUN:
            return _NOT_BEGUN
        if number in process.stopping and answer.get("status") == "cancelled":
            return outcomes.cancelled()
        return outcomes.reported(answer)

    def _end(self, ended: list[Ended[T]]) -> None:
        if ended:
            self._on_ended(ended)

    def _gone(self, process: KeptProcess[T]) -> None:
        """It died, or was killed, or had nothing more to do: say what became of its jobs."""
        self._all.discard(process)
        if self._current is process:
            self._current = None
        if self._is_closed:
            return
        if process.begun:
            self._failed_starts = 0
        elif not process.is_withdrawn:
            self._count_failed_start()
        waiting = [process.jobs.pop(number) for number in process.unbegun() if number not in process.stopping]
        self._end([(job, self._verdict(process, number, job), 0.0) for number, job in process.jobs.items()])
        process.jobs.clear()
        if self._failed_starts >= MOST_STARTS:
            self._end([(job, _NOT_BEGUN, 0.0) for job in waiting])
        elif waiting:
            self.start(waiting)

    def _count_failed_start(self) -> None:
        self._failed_starts += 1
        if self._failed_starts >= MOST_STARTS:
            self._on_broken("The process for light functions ends, or hangs, before it begins one.")

    def _verdict(self, process: KeptProcess[T], number: int, job: T) -> Fields:
        """What became of a job whose process is gone."""
        if number in process.stopping:
            return outcomes.cancelled()
        limit = process.limits.get(number)
        if limit is not None and limit <= clock():
            return outcomes.timed_out(self._call_of(number, job)[7])
        running = process.board.running
        if number != running and not self._is_coroutine(number, job):
            return _NOT_BEGUN  # it has ended, but nobody knows how
        if number != running and process.killed_for_a_job:
            return _NOT_BEGUN  # not its fault; of a plain function that ran nobody can say that
        if process.was_killed or number != running != 0:
            return _CRASHED_BESIDE
        return outcomes.crashed(process.exit_code)

    def _tick_later(self) -> None:
        if self._ticking is None and self.count:
            self._ticking = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        """What a busy process cannot be trusted with: limits, and calls that wait behind it."""
        self._ticking = None
        now = clock()
        for process in list(self._all):
            self._note_begun(process, now)
            if any(limit <= now and number <= process.begun for number, limit in process.limits.items()):
                process.kill(for_a_job=True)
            elif self._is_stuck(process, now):
                self._withdraw(process)
                if not process.ready_at:
                    self._count_failed_start()
        self._tick_later()

    def _note_begun(self, process: KeptProcess[T], now: float) -> None:
        begun = process.begun
        for number, job in process.jobs.items():
            if number > begun:
                break
            if number not in process.limits:
                grace_s = STOP_GRACE_S if self._is_coroutine(number, job) else 0.0
                process.limits[number] = now + self._call_of(number, job)[7] + grace_s

    def _is_stuck(self, process: KeptProcess[T], now: float) -> bool:
        begun = process.begun
        process.sent = [(last, at) for last, at in process.sent if last > begun]
        if not process.sent or process.is_withdrawn:
            return False
        since = max(process.sent[0][1], process.ready_at)
        return now - since > (LONGEST_WAIT_S if process.ready_at else _START_LIMIT_S)

    def _withdraw(self, process: KeptProcess[T]) -> None:
        """Use this process no more, and take back what it has not begun.

        What it said to have begun just before it could see the withdrawal is visible after a moment.
        """
        process.withdraw()
        if self._current is process:
            self._current = None
        asyncio.get_running_loop().call_later(_SETTLED_S, self._release_unbegun, process)

    def _release_unbegun(self, process: KeptProcess[T]) -> None:
        released = [(number, process.jobs.pop(number)) for number in process.unbegun()]
        if not process.ready_at:
            process.kill()  # nothing would come of it, if it came so far
        stopped = outcomes.cancelled()
        self._end(
            [(job, stopped if number in process.stopping else _NOT_BEGUN, 0.0) for number, job in released]
        )

    def _is_coroutine(self, number: int, job: T) -> bool:
        return functions.is_coroutine(self._call_of(number, job)[4])
