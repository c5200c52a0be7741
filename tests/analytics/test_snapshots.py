"""Who keeps dead rows from being removed: named by pid, with as much as the role may know."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection

from analytics import snapshots
from analytics.snapshots import Holder, oldest_holder
from scheduler.duties.watch_snapshots import SnapshotWatch
from tests.analytics.test_collectors import Direct, scraper
from tests.processes import database_url

pytestmark = pytest.mark.django_db(transaction=True)

OTHER_ROLE = "postgres"  # of the throw-away cluster; the role of the tests is no superuser


@contextmanager
def held_snapshot(name: str = "nightly report", begin: str = "REPEATABLE READ", **role: str) -> Iterator[int]:
    """A transaction with a snapshot that stays open; gives its pid."""
    with psycopg.connect(database_url(), application_name=name, autocommit=True, **role) as session:
        session.execute(f"BEGIN ISOLATION LEVEL {begin}")  # type: ignore[call-overload]
        session.execute("SELECT 'a secret', pg_current_xact_id()")
        yield session.info.backend_pid
        session.execute("ROLLBACK")


def holder(older_than_s: float = 0.0) -> Holder | None:
    with connection.cursor() as cursor:
        return oldest_holder(cursor, older_than_s)


@pytest.mark.parametrize("begin", ["REPEATABLE READ", "READ COMMITTED"])
def test_an_open_transaction_is_named(begin: str) -> None:
    with held_snapshot(begin=begin) as pid:
        found = holder()
    assert found is not None
    assert (found.kind, found.pid, found.name) == ("session", pid, "nightly report")
    assert found.state == "idle in transaction"
    assert found.age_s is not None
    assert found.age_s > 0


def test_the_one_that_holds_back_most_is_named() -> None:
    with held_snapshot("first") as first, psycopg.connect(database_url(), autocommit=True) as busy:
        for _ in range(3):
            busy.execute("SELECT pg_current_xact_id()")
        with held_snapshot("second"):
            found = holder()
    assert found is not None
    assert found.pid == first
    assert found.xids >= 3


def test_a_transaction_that_is_not_old_yet_is_not_named() -> None:
    with held_snapshot():
        assert holder(older_than_s=3600) is None


def test_a_session_that_holds_nothing_is_not_named() -> None:
    with psycopg.connect(database_url(), autocommit=True) as session:
        session.execute("BEGIN")
        session.execute("SELECT 1")
        assert holder() is None
        session.execute("ROLLBACK")


def test_of_another_roles_transaction_one_learns_who_but_not_since_when(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with held_snapshot(user=OTHER_ROLE) as pid:
        assert holder() is None, "it may be a moment old: nobody is blamed"
        monkeypatch.setattr(snapshots, "OLD_XIDS", 0)
        found = holder(older_than_s=3600)
    assert found is not None
    assert (found.pid, found.name, found.state, found.age_s) == (pid, "nightly report", None, None)
    warning = found.as_warning()
    assert (warning["state"], warning["age_s"]) == ("unknown", "unknown")
    assert str(found).endswith("state='unknown' age_s=unknown")


def test_a_warning_holds_no_query_text() -> None:
    with held_snapshot():
        found = holder()
    assert found is not None
    assert "secret" not in str(found.as_warning()) + str(found)


def test_the_gauge_names_who_holds_and_nobody_afterwards(settings: Any) -> None:
    settings.SNAPSHOT_WARN_S = 0
    scrape = scraper(Direct())
    with held_snapshot() as pid:
        found = scrape()["smartqueue_oldest_snapshot_seconds"]
        (labels,) = found
        assert set(labels) == {"session", str(pid), "nightly report"}
        assert found[labels] > 0
    assert scrape()["smartqueue_oldest_snapshot_seconds"] == {("", "", ""): 0}


def test_the_log_says_once_that_it_begins_and_once_that_it_is_over(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SNAPSHOT_WARN_S = 0
    caplog.set_level(logging.INFO, logger="scheduler.duties.watch_snapshots")
    duty = SnapshotWatch()
    with held_snapshot() as pid:
        assert [duty.run("leader:x") for _ in range(3)] == [0, 0, 0]
        assert len(caplog.messages) == 1
        assert caplog.messages[0].startswith(f"action=snapshot_held kind='session' pid={pid} ")
    for _ in range(3):
        duty.run("leader:x")
    assert len(caplog.messages) == 2
    assert caplog.messages[1].startswith(f"action=snapshot_released kind='session' pid={pid} ")


def test_a_second_holder_is_a_second_entry(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.SNAPSHOT_WARN_S = 0
    caplog.set_level(logging.INFO, logger="scheduler.duties.watch_snapshots")
    duty = SnapshotWatch()
    for name in ("first", "second"):
        with held_snapshot(name):
            duty.run("leader:x")
    actions = [message.split()[0] for message in caplog.messages]
    assert actions == ["action=snapshot_held", "action=snapshot_released", "action=snapshot_held"]
