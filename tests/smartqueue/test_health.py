from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection
from django.test import Client
from psycopg import sql

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
            missing = health.what_is_missing()
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
