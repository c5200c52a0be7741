"""Who starts the server, who shares it, and when it stops."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from smartqueue import postgres
from tests.postgres.conftest import answers, ask, is_stopped, keep_row, kill, said
from tests.waiting import wait_until

StartUser = Callable[..., "subprocess.Popen[str]"]
STARTED = "SELECT pg_postmaster_start_time()"


def test_a_second_process_shares_the_server_which_outlives_the_first(
    initialised: Path, start_user: StartUser
) -> None:
    data_dir = initialised
    first = postgres.ensure_running(data_dir, durable=False)
    started = ask(data_dir, STARTED)
    second = start_user()
    assert said(second) == first.dsn

    assert not first.release()
    assert not first.release(wait_s=0.5)

    assert ask(data_dir, STARTED) == started
    second.communicate()
    wait_until(lambda: is_stopped(data_dir), message="the last user leaves, the server stops")


def test_processes_that_start_at_once_get_one_cluster(data_dir: Path, start_user: StartUser) -> None:
    users = [start_user() for _ in range(3)]

    assert {said(user) for user in users} == {postgres.dsn(data_dir)}
    assert (data_dir / "postgres.log").read_text().count("starting PostgreSQL") == 1


def test_a_killed_user_gives_its_hold_back(initialised: Path, start_user: StartUser) -> None:
    user = start_user()
    assert said(user)
    assert postgres.is_running(initialised)

    kill(user.pid)

    wait_until(lambda: is_stopped(initialised), message="nobody uses the server, it stops")
    assert not postgres.is_running(initialised)


def test_durable_data_survives_a_stop(data_dir: Path) -> None:
    with postgres.ensure_running(data_dir) as hold:
        keep_row(data_dir)
        assert ask(data_dir, "SHOW fsync") == "on"
        assert hold.release(wait_s=10)
    assert is_stopped(data_dir)
    assert not answers(data_dir)

    with postgres.ensure_running(data_dir):
        assert ask(data_dir, "SELECT value FROM kept") == "yesterday"


def test_a_newcomer_is_served_while_the_server_stops(initialised: Path) -> None:
    postgres.ensure_running(initialised, durable=False).release()
    wait_until(lambda: not postgres.is_running(initialised), message="the guardian decides to stop")

    with postgres.ensure_running(initialised, durable=False):
        assert answers(initialised)


def test_two_data_folders_have_two_servers(shared_dir: Path, initialised: Path) -> None:
    with postgres.ensure_running(initialised, durable=False) as hold:
        keep_row(initialised)
        with psycopg.connect(hold.dsn) as ours, psycopg.connect(postgres.dsn(shared_dir)) as theirs:
            assert ours.execute("SELECT to_regclass('kept')").fetchone() == ("kept",)
            assert theirs.execute("SELECT to_regclass('kept')").fetchone() == (None,)


def test_the_role_may_create_databases_and_nothing_more(shared_dir: Path) -> None:
    role = "SELECT row(rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb)::text"
    assert ask(shared_dir, f"{role} FROM pg_roles WHERE rolname = current_user") == "(smartqueue,f,f,f,t)"
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert ask(shared_dir, owner) == "smartqueue"
    ask(shared_dir, "CREATE DATABASE test_smartqueue")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(shared_dir, "SELECT pg_read_file('postgresql.conf')")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "off"),
        ("synchronous_commit", "off"),
        ("full_page_writes", "off"),
        ("listen_addresses", ""),
        ("TimeZone", "UTC"),
        ("server_encoding", "UTF8"),
        ("max_connections", "200"),
    ],
)
def test_settings_of_a_throw_away_server(shared_dir: Path, setting: str, value: str) -> None:
    assert ask(shared_dir, f"SHOW {setting}") == value


def test_letters_beyond_ascii_have_two_cases(shared_dir: Path) -> None:
    assert ask(shared_dir, "SELECT upper('é')") == "É"


def test_the_dsn_is_short_and_starts_nothing(data_dir: Path) -> None:
    deep = data_dir.joinpath(*["a" * 60] * 4)

    host = psycopg.conninfo.conninfo_to_dict(postgres.dsn(deep))["host"]

    assert len(f"{host}/.s.PGSQL.5432.lock") < 104
    assert not Path(str(host)).exists()
    assert not deep.exists()
    assert not postgres.is_running(deep)


@pytest.fixture(scope="module")
def shared_dir(kept_dir: Path) -> Iterator[Path]:
    """`kept_dir`, served for the whole module."""
    with postgres.ensure_running(kept_dir, durable=False):
        yield kept_dir
