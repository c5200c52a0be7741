from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from smartqueue.group_commit import GroupCommit

pytestmark = pytest.mark.asyncio


class Writer:
    """Doubles numbers; holds the thread until `go` is set. Refuses groups with a 0."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.threads: set[int] = set()
        self.go = threading.Event()
        self.began = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.groups.append(list(items))
        self.threads.add(threading.get_ident())
        self.began.set()
        assert self.go.wait(10)
        if 0 in items:
            raise ValueError("zero")
        return [item * 2 for item in items]


async def _begun(writer: Writer, group: GroupCommit[int, int], first: int) -> asyncio.Task[int]:
    task = asyncio.create_task(group.add(first))
    assert await asyncio.to_thread(writer.began.wait, 10)
    return task


async def test_whoever_comes_during_a_write_is_in_the_next_group() -> None:
    writer = Writer()
    group = GroupCommit(writer, most=3, threads=1)
    first = await _begun(writer, group, 1)
    others = [asyncio.create_task(group.add(number)) for number in range(2, 7)]
    await asyncio.sleep(0)
    writer.go.set()
    assert await asyncio.gather(first, *others) == [2, 4, 6, 8, 10, 12]
    assert writer.groups == [[1], [2, 3, 4], [5, 6]]
    assert len(writer.threads) == 1
    assert threading.get_ident() not in writer.threads


async def test_whoever_comes_as_the_writer_ends_is_written() -> None:
    group: GroupCommit[int, int] = GroupCommit(list, most=3, threads=1)

    async def one_after_the_other() -> list[int]:
        return [await group.add(number) for number in range(5)]

    assert await asyncio.wait_for(one_after_the_other(), 10) == [0, 1, 2, 3, 4]


async def test_error_reaches_its_group_and_no_other() -> None:
    writer = Writer()
    group = GroupCommit(writer, most=10, threads=1)
    first = await _begun(writer, group, 1)
    others = [asyncio.create_task(group.add(number)) for number in (0, 7)]
    await asyncio.sleep(0)
    writer.go.set()
    assert await first == 2
    answers = await asyncio.gather(*others, return_exceptions=True)
    assert [str(answer) for answer in answers] == ["zero", "zero"]
    assert await group.add(4) == 8


async def test_caller_who_leaves_does_not_hurt_the_others() -> None:
    writer = Writer()
    group = GroupCommit(writer, most=10, threads=1)
    first = await _begun(writer, group, 1)
    leaver, stayer = (asyncio.create_task(group.add(number)) for number in (2, 3))
    await asyncio.sleep(0)
    first.cancel()
    leaver.cancel()
    writer.go.set()
    assert await stayer == 6
    assert await group.add(5) == 10


async def test_free_thread_does_not_wait_for_a_busy_one() -> None:
    both = threading.Barrier(3)

    def write(items: Sequence[int]) -> Sequence[int]:
        both.wait(10)
        return items

    group = GroupCommit(write, most=10, threads=2)
    tasks = [await _started(group, number) for number in (1, 2)]
    await asyncio.to_thread(both.wait, 10)
    assert await asyncio.gather(*tasks) == [1, 2]


async def _started(group: GroupCommit[int, int], item: int) -> asyncio.Task[int]:
    """Two turns of the loop: one for the caller, one for the writer that takes it."""
    task = asyncio.create_task(group.add(item))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task
