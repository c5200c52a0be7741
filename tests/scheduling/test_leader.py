"""The election: one leader, terms that only grow, and no write of a term that is over."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from psycopg.conninfo import make_conninfo

from jobs.models import SchedulerLeader, Worker
from scheduler import leader
from scheduler.leader import STALE_S, Leadership, LeadershipLost, acting
from scheduler.scheduler import Scheduler
from scheduler.stopping import Stop
from tests.processes import database_url
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def seats() -> Iterator[list[Leadership]]:
    made = [Leadership(make_conninfo(database_url()), f"host:{number}:x") for number in range(2)]
    yield made
    for seat in made:
        seat.resign()


def test_one_leads_and_the_other_waits(seats: list[Leadership]) -> None:
    first, second = seats
    assert first.campaign() == 1
    assert second.campaign() is None
    first.confirm(1)


def test_a_resigned_leader_is_followed_by_a_new_term(seats: list[Leadership]) -> None:
    first, second = seats
    first.campaign()
    first.resign()
    assert second.campaign() == 2
    assert SchedulerLeader.objects.get().worker_id == second.name


def test_a_standby_that_waits_is_woken_by_the_end_of_the_leaders_session(seats: list[Leadership]) -> None:
    first, second = seats
    first.campaign()
    terms: list[int | None] = []

    def wait_for_lock() -> None:
        while not terms or terms[-1] is None:
            terms.append(second.campaign())

    waiting = threading.Thread(target=wait_for_lock)
    waiting.start()
    end_session_of(first)
    waiting.join(timeout=10)
    assert terms[-1] == 2
    with pytest.raises(LeadershipLost):
        first.confirm(1)


@pytest.mark.parametrize("heard_with_an_answer", [False, True])
def test_a_leader_that_stops_calls_the_standby(
    seats: list[Leadership], monkeypatch: pytest.MonkeyPatch, heard_with_an_answer: bool
) -> None:
    """By its poll the standby would wait for longer than this test may run."""
    monkeypatch.setattr(leader, "POLL_S", 600)
    first, second = seats
    first.campaign()
    assert second.campaign() is None
    first.resign()
    if heard_with_an_answer:
        assert second._session is not None
        wait_until(lambda: second._session.execute("SELECT 1") and second._called)  # type: ignore[union-attr]
    second.wait(Stop())
    assert second.campaign() == 2


def test_a_standby_that_is_stopped_waits_no_longer(
    seats: list[Leadership], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "POLL_S", 600)
    first, second = seats
    first.campaign()
    second.campaign()
    stop = Stop()
    threading.Timer(0.1, stop.set).start()
    second.wait(stop)
    assert stop.is_set()


def test_a_standby_holds_back_no_dead_rows(seats: list[Leadership]) -> None:
    first, second = seats
    first.campaign()
    second.campaign()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state, backend_xmin FROM pg_stat_activity WHERE application_name = %s", [second.name]
        )
        assert cursor.fetchall() == [("idle", None)]


def test_a_resignation_without_a_session_is_none(seats: list[Leadership]) -> None:
    first, _ = seats
    first.campaign()
    end_session_of(first)
    first.resign()
    assert first.campaign() == 2


def test_the_statement_of_a_leader_that_died_does_not_hold_up_the_next_term(
    seats: list[Leadership], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "STATEMENT_S", 600)
    first, second = seats
    term = first.campaign()
    assert term is not None
    sessions: list[psycopg.Connection] = []

    def die_in_a_statement() -> None:
        connection.ensure_connection()
        sessions.append(connection.connection)
        with pytest.raises(OperationalError), acting(term), connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(600)")
        connection.close()

    dying = threading.Thread(target=die_in_a_statement)
    dying.start()
    wait_until(somebody_sleeps, 10, "the statement runs")
    first.resign()
    with socket.socket(fileno=os.dup(sessions[0].fileno())) as theirs:
        theirs.shutdown(socket.SHUT_RDWR)
    assert second.campaign() == 2
    dying.join(timeout=10)
    assert not dying.is_alive()


def test_writes_of_an_old_term_are_refused(seats: list[Leadership]) -> None:
    first, second = seats
    old = first.campaign()
    first.resign()
    second.campaign()
    assert old is not None
    with pytest.raises(LeadershipLost), acting(old):
        pytest.fail("the body of an old term ran")


def test_a_new_term_waits_for_a_write_of_the_old_one(seats: list[Leadership]) -> None:
    first, second = seats
    old = first.campaign()
    assert old is not None
    terms: list[int | None] = []
    with acting(old):
        first.resign()
        thread = threading.Thread(target=lambda: terms.append(second.campaign()))
        thread.start()
        wait_until(lambda: waiting_for_a_lock("host:1:x"), 10, "the new leader waits for the old write")
        assert terms == []
    thread.join(timeout=10)


def test_a_leader_that_is_silent_for_long_is_deposed(seats: list[Leadership]) -> None:
    first, second = seats
    first.campaign()
    SchedulerLeader.objects.update(last_seen=timezone.now() - timedelta(seconds=STALE_S + 1))
    assert second.campaign() is None
    wait_until(lambda: second.campaign() == 2, 10, "the standby leads")


def test_a_leader_row_with_another_name_ends_the_term(seats: list[Leadership]) -> None:
    first, _ = seats
    assert first.campaign() == 1
    SchedulerLeader.objects.update(worker_id="other")
    with pytest.raises(LeadershipLost, match="term 1 is over"):
        first.confirm(1)


def test_a_later_term_of_the_same_scheduler_ends_the_earlier_one(seats: list[Leadership]) -> None:
    first, _ = seats
    assert first.campaign() == 1
    SchedulerLeader.objects.update(term=2)
    with pytest.raises(LeadershipLost, match="term 1 is over"):
        first.confirm(1)


def test_the_end_of_the_session_ends_the_term(seats: list[Leadership]) -> None:
    first, _ = seats
    assert first.campaign() == 1
    end_session_of(first)
    with pytest.raises(LeadershipLost, match="the session is gone"):
        first.confirm(1)


def test_a_duty_gives_up_on_a_lock_that_somebody_holds(
    seats: list[Leadership], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "LOCKED_S", 0.2)
    term = seats[0].campaign()
    assert term is not None
    with psycopg.connect(database_url()) as holder:
        holder.execute("LOCK TABLE jobs_worker IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(OperationalError, match="lock timeout"), acting(term):
            Worker.objects.count()


def test_a_duty_gives_up_on_a_statement_that_takes_too_long(
    seats: list[Leadership], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "STATEMENT_S", 0.2)
    term = seats[0].campaign()
    assert term is not None
    with (
        pytest.raises(OperationalError, match="statement timeout"),
        acting(term),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT pg_sleep(20)")


def test_a_scheduler_on_a_host_with_a_very_long_name_can_lead(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * 300)
    settings.DATABASE_DIRECT_DSN = make_conninfo(database_url())
    seat = Scheduler(Stop()).leadership
    try:
        assert seat.campaign() == 1
        seat.confirm(1)
    finally:
        seat.resign()


def somebody_sleeps() -> bool:
    with psycopg.connect(database_url(), autocommit=True) as session:
        return bool(session.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'").fetchall())


def end_session_of(seat: Leadership) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", [seat.name]
        )
        assert cursor.fetchall() == [(True,)]


def waiting_for_a_lock(name: str) -> bool:
    with psycopg.connect(make_conninfo(database_url()), autocommit=True) as session:
        row = session.execute(
            "SELECT wait_event_type FROM pg_stat_activity WHERE application_name = %s", [name]
        ).fetchone()
    return row is not None and row[0] == "Lock"
