"""The wall on connections as requests have them: what is left on one is there for the next client of the session."""

from __future__ import annotations

import psycopg
import pytest
from django.db import (
    DataError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)

from jobs.models import Flow
from orgs import walls
from orgs.models import Organization
from tests.isolation.world import reaching

pytestmark = pytest.mark.django_db(transaction=True)
Orgs = tuple[Organization, Organization]


@pytest.fixture
def orgs(transactional_db: None) -> Orgs:
    return Organization.objects.create(name="Acme"), Organization.objects.create(name="Globex")


def _settings() -> tuple[str, str]:
    cursor = connection.connection.execute(
        "SELECT current_user, coalesce(current_setting('smartqueue.orgs', true), '')"
    )
    user, orgs = cursor.fetchone()
    return user, orgs


def test_settings_end_with_the_statement(orgs: Orgs) -> None:
    with reaching(orgs[0].pk):
        assert [org.name for org in Organization.objects.all()] == ["Acme"]
        assert _settings()[0] != walls.ROLE
        with transaction.atomic():
            assert Organization.objects.count() == 1
            assert _settings() == (walls.ROLE, str(orgs[0].pk))
    assert _settings()[0] != walls.ROLE
    assert _settings()[1] == ""
    assert Organization.objects.count() == 2


def test_web_processes_read_by_no_cursor_of_the_server(orgs: Orgs) -> None:
    """Choices of forms are read by `iterator`, outside of any transaction."""
    walls.close_by_default()
    try:
        with reaching(orgs[0].pk):
            assert [org.name for org in Organization.objects.iterator()] == ["Acme"]
    finally:
        walls.open_by_default()
    with reaching(orgs[0].pk), pytest.raises(psycopg.ProgrammingError, match="need a transaction"):
        list(Organization.objects.iterator())


def test_many_statements_need_a_transaction(orgs: Orgs) -> None:
    refused = pytest.raises(psycopg.ProgrammingError, match="need a transaction")
    with reaching(orgs[0].pk), connection.cursor() as cursor, refused:
        cursor.executemany("SELECT %s", [[1], [2]])


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        (
            "INSERT INTO jobs_flow (org_id, queue, type) VALUES (%(org)s, 'q', 'no') RETURNING 1 / 0",
            DataError,
        ),
        (
            "INSERT INTO jobs_flow (org_id,queue,type) SELECT %(org)s, 'q', 'a' FROM generate_series(1,2) RETURNING 1",
            IntegrityError,
        ),
    ],
)
def test_rows_of_commits_nothing_when_it_fails(orgs: Orgs, statement: str, error: type[Exception]) -> None:
    with reaching(orgs[0].pk):
        with pytest.raises(error):
            walls.rows_of(statement, {"org": orgs[0].pk})
        assert walls.rows_of("SELECT count(*) FROM orgs_organization", {}) == [(1,)]
    assert not Flow.objects.exists()
    assert _settings()[0] != walls.ROLE


def test_rows_of_commits_what_it_has_done(orgs: Orgs) -> None:
    statement = "INSERT INTO jobs_flow (org_id, queue, type) VALUES (%(org)s, 'q', 'shell') RETURNING queue"
    with reaching(orgs[0].pk):
        assert walls.rows_of(statement, {"org": orgs[0].pk}) == [("q",)]
        with pytest.raises(ProgrammingError, match="row-level security"):
            walls.rows_of(statement, {"org": orgs[1].pk})
    assert [flow.org_id for flow in Flow.objects.all()] == [orgs[0].pk]


def test_a_session_that_ended_is_told_as_one(orgs: Orgs) -> None:
    connection.ensure_connection()
    pid = connection.connection.info.backend_pid
    with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with reaching(orgs[0].pk), pytest.raises(OperationalError):
        walls.rows_of("SELECT %(one)s::int", {"one": 1})
    connection.close()
    with reaching(orgs[0].pk):
        assert walls.rows_of("SELECT %(one)s::int", {"one": 1}) == [(1,)]
