"""Group commit: what several callers of one event loop want written is written together, in a thread.

Nobody waits for a group to fill: a caller is written at once while a thread is free, and those who come
when none is are the next group. Called by smartqueue.quick_submit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """`write` gets at most `most` items, in one of `threads` threads, and returns one result for each.

    What it raises is raised by every `add` of that group. `prepare` runs first in each thread, once.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        most: int,
        threads: int,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self._write, self._most, self._most_writers = write, most, threads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="group-commit", initializer=prepare)
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._writers: set[asyncio.Task[None]] = set()

    async def add(self, item: Item) -> Result:
        """The result for `item`, once its group is written. A caller who is cancelled may have been written."""
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, result))
        if len(self._writers) < self._most_writers:
            self._writers.add(asyncio.create_task(self._write_groups()))
        return await result

    async def _write_groups(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._write_group(group)
        finally:
            # In the turn in which it saw that nobody waits: whoever comes next must find that it has gone.
            self._writers.remove(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _write_group(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        items = [item for item, _ in group]
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._threads, self._write, items)
        except Exception as error:
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), result in zip(group, results, strict=True):
            if not future.done():
                future.set_result(result)
