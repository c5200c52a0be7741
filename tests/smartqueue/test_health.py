from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection
from django.test import Client
from psycopg import sql

from analytics import snapshots
from smartqueue import health
from tests.waiting import wait_until


@pytest.fixture
def deaf_server() -> Iterator[int]:
    """A port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
    wait_until(lambda: not checks_running(), message="the check of the deaf server has ended")


@pytest.fixture
def empty_database(db: None) -> Iterator[str]:
    name = f"{connection.settings_dict['NAME']}_empty"
    parameters = connection.get_connection_params()
    with psycopg.connect(**parameters, autocommit=True) as session:
        session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield name
        session.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def checks_running() -> int:
    return [thread.name for thread in threading.enumerate()].count("readyz")


def move_database(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setitem(connection.settings_dict, name, value)


def test_the_process_is_alive_whatever_the_database_does():
    """No `db` here: a query would fail the test."""
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_ready_with_a_migrated_database(db):
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
    assert "no-store" in answer["Cache-Control"]


def test_not_ready_without_a_database(db, monkeypatch):
    move_database(monkeypatch, HOST="127.0.0.1", PORT="1")
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) > 0
    assert answer.json()["missing"] == ["database"]
    assert answer.json()["error"]["code"] == "not_ready"
    assert "127.0.0.1" not in answer.content.decode()
    monkeypatch.undo()
    assert Client().get("/readyz").status_code == 200


def test_not_ready_while_the_database_hangs(db, deaf_server, monkeypatch):
    monkeypatch.setattr(health, "WAIT_S", 0.3)
    move_database(monkeypatch, HOST="127.0.0.1", PORT=str(deaf_server))
    probes = [Client().get("/readyz") for _ in range(2)]
    assert [probe.json()["missing"] for probe in probes] == [["database"], ["database"]]
    assert "does not answer within" in probes[0].json()["error"]["message"]
    assert checks_running() == 1


def test_not_ready_before_migrations(empty_database, monkeypatch):
    move_database(monkeypatch, NAME=empty_database)
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["missing"] == ["migrations"]
    assert "manage.py migrate" in answer.json()["error"]["message"]


def test_one_missing_migration_is_enough(db):
    with psycopg.connect(**connection.get_connection_params()) as session:
        session.execute("DELETE FROM django_migrations WHERE app = 'analytics' AND name = '0001_initial'")
        session.commit()
        try:
            missing = health.findings().missing
        finally:
            session.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES ('analytics', '0001_initial', now())"
            )
    assert list(missing) == ["migrations"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/", "/docs"])
def test_only_reading_is_allowed(path, method):
    answer = Client(enforce_csrf_checks=True).generic(method, path)
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_the_root_leads_to_the_dashboard():
    answer = Client().get("/")
    assert (answer.status_code, answer["Location"]) == (302, "/dashboard/")


def test_metrics_hold_requests_and_the_queue(db):
    for _ in range(2):
        answer = Client().get("/metrics")
        assert answer.status_code == 200
    text = answer.content.decode()
    assert "django_http_requests_total" in text
    assert "smartqueue_database_up 1.0" in text
    assert 'smartqueue_jobs{lane="normal",status="queued"} 0.0' in text


@pytest.fixture
def blocker(transactional_db, settings, request) -> Iterator[int]:
    """The pid of a session with an open transaction, which is old enough to warn of at once."""
    settings.SNAPSHOT_WARN_S = 0
    parameters = {**connection.get_connection_params(), "application_name": "nightly report"}
    parameters["user"] = getattr(request, "param", parameters["user"])
    with psycopg.connect(**parameters) as session:
        session.execute("SELECT 'a secret', pg_current_xact_id()")
        yield session.info.backend_pid


def test_ready_with_a_warning_while_somebody_holds_back_dead_rows(blocker):
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    (warning,) = answer.json()["warnings"]
    assert (warning["code"], warning["pid"]) == ("old_snapshot", blocker)
    assert (warning["application_name"], warning["state"]) == ("nightly report", "idle in transaction")
    assert warning["age_s"] >= 0
    assert "secret" not in answer.content.decode()


@pytest.mark.parametrize("blocker", ["postgres"], indirect=True)
def test_of_another_roles_session_the_warning_says_what_it_cannot_know(blocker, monkeypatch):
    """The role of the tests is no superuser, as that of a cluster should be."""
    assert Client().get("/readyz").json() == {"status": "ready"}
    monkeypatch.setattr(snapshots, "OLD_XIDS", 0)
    answer = Client().get("/readyz")
    assert answer.status_code == 200
    (warning,) = answer.json()["warnings"]
    assert (warning["pid"], warning["state"], warning["age_s"]) == (blocker, "unknown", "unknown")


def test_ready_when_nobody_can_tell_who_holds_back_dead_rows(db, monkeypatch):
    monkeypatch.setattr(snapshots, "HOLDERS", "SELECT 1 / 0")
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert [warning["code"] for warning in answer.json()["warnings"]] == ["snapshots_unknown"]


def test_our_own_sessions_forget_no_transaction(db):
    with connection.cursor() as cursor:
        cursor.execute("SHOW idle_in_transaction_session_timeout")
        assert cursor.fetchone() == ("1min",)
