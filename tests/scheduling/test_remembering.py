"""What a worker tells the predictor: what ended, off the path that records it, and never at its cost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from jobs.claims import Claimed, Finish
from orgs.models import Organization
from predictor import keeping
from predictor.models import RunHistory
from scheduler import remembering
from scheduler.remembering import Remembering

pytestmark = pytest.mark.django_db(transaction=True)


def ran(org: Organization, ending: Any = "done", name: str = "nightly") -> tuple[Claimed, Finish]:
    values: dict[str, Any] = dict.fromkeys(Claimed._fields)
    values |= {"id": 1, "org_id": org.pk, "name": name, "type": "etl", "payload": {}, "attempt": 1}
    return Claimed(**values | {"timeout_s": 600.0, "wait_ms": 5.0}), Finish(1, 1, ending, 1500.0)


def remember(scenario: Callable[[Remembering], Awaitable[None]]) -> None:
    async def run() -> None:
        writing = Remembering()
        task = asyncio.create_task(writing.run())
        try:
            await asyncio.wait_for(scenario(writing), timeout=20)
            assert not task.done()
        finally:
            task.cancel()
            await writing.close()

    asyncio.run(run())


def counts() -> dict[str, int]:
    return dict(RunHistory.objects.filter(job_type="etl").values_list("job_name", "count"))


async def until(condition: Callable[[], bool]) -> None:
    while not await asyncio.to_thread(condition):
        await asyncio.sleep(0.02)


def test_what_ended_is_written_a_little_later(acme: Organization) -> None:
    calls: list[int] = []
    kept = keeping.keep

    async def scenario(writing: Remembering) -> None:
        for _ in range(5):
            writing.ran([ran(acme), ran(acme, "failed")])
        await until(lambda: bool(calls))
        writing.ran([ran(acme, "timeout", "other")])
        await until(lambda: len(calls) == 2)

    def counted(groups: Any, now: float) -> None:
        kept(groups, now)
        calls.append(len(groups))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping, "keep", counted)
        remember(scenario)
    assert calls == [1, 1]
    assert counts() == {"nightly": 10, "other": 1, "": 11}


@pytest.mark.parametrize("ending", ["released", "snoozed"])
def test_what_did_not_end_is_not_told(acme: Organization, ending: str) -> None:
    async def scenario(writing: Remembering) -> None:
        writing.ran([ran(acme, ending)])
        assert not writing._noted.is_set()
        await writing.write()

    remember(scenario)
    assert counts() == {}


def test_what_is_noted_when_the_worker_stops_is_written(acme: Organization) -> None:
    async def scenario(writing: Remembering) -> None:
        writing.ran([ran(acme)])
        await writing.write()

    remember(scenario)
    assert counts() == {"nightly": 1, "": 1}


def test_what_cannot_be_written_is_dropped(
    acme: Organization, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is written by the same task: a failure ends nothing."""
    monkeypatch.setattr(remembering, "EVERY_S", 0.01)

    async def scenario(writing: Remembering) -> None:
        writing.ran([ran(acme, name="\0")])  # no text of the database
        await until(lambda: bool(caplog.records))
        writing.ran([ran(acme)])
        await until(lambda: bool(counts()))

    remember(scenario)
    assert counts() == {"nightly": 1, "": 1}
    (told,) = caplog.records
    assert told.getMessage().startswith("action=runs_not_remembered error=")
