"""What a worker's pool gives back, and when it takes nothing more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from jobs.claims import Claimed, Finish
from jobs.executors.process import JobProcesses
from scheduler.pool import Pool
from scheduler.worker import _is_held_back_by


def job(number: int, **fields: Any) -> Claimed:
    values: dict[str, Any] = dict.fromkeys(Claimed._fields)
    values |= {"id": number, "org_id": 1, "name": "n", "type": "shell", "queue": "default", "attempt": 1}
    values |= {"payload": {"command": "sleep 60"}, "timeout_s": 60.0, "retry_count": 0, "max_retries": 0}
    return Claimed(**(values | {"wait_ms": 0.0} | fields))


def pause(**parts: Any) -> str:
    return json.dumps({"org": None, "queue": None, "type": None} | parts)


def test_only_what_a_pause_holds_back_is_given_back() -> None:
    async def drive() -> list[tuple[int, str]]:
        ended: list[Finish] = []
        with JobProcesses() as processes:
            pool = Pool(1, processes, on_line=lambda *line: None, on_end=ended.extend)
            pool.start([job(1, queue="mail"), job(2, queue="mail"), job(3), job(4, org_id=2, queue="mail")])
            pool.give_back(_is_held_back_by(pause(org=1, queue="mail")))
            given_back = [(one.job_id, one.ending) for one in ended]
            assert sorted(number for number, _ in pool.held) == [1, 3, 4]
            await pool.drain(0)
            pool.close()
        return given_back

    assert asyncio.run(drive()) == [(2, "released")]


@pytest.mark.parametrize(
    ("paused", "expected"),
    [
        (pause(), True),
        (pause(org=1), True),
        (pause(org=2), False),
        (pause(queue="default", type="shell"), True),
        (pause(queue="default", type="http"), False),
    ],
)
def test_what_a_pause_holds_back(paused: str, expected: bool) -> None:
    assert _is_held_back_by(paused)(job(1)) == expected


def test_there_is_no_room_while_the_recorder_is_behind() -> None:
    async def drive() -> Sequence[int]:
        behind: list[bool] = [True]
        with JobProcesses() as processes:
            pool = Pool(
                3,
                processes,
                on_line=lambda *line: None,
                on_end=lambda ended: None,
                is_behind=lambda: behind[0],
            )
            rooms = [pool.room]
            behind[0] = False
            return [*rooms, pool.room]

    assert asyncio.run(drive()) == [0, 3]
