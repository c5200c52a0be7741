"""k8s/postgres-role.sql on a real PostgreSQL: the role owns its database and is no superuser."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from smartqueue import postgres
from smartqueue.postgres.binaries import find_bin_dir
from smartqueue.postgres.cluster import Cluster
from smartqueue.postgres.locks import is_locked
from tests.deploy.files import K8S, output_of
from tests.waiting import wait_until


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A throw-away server without the role and the database that it is made with."""
    made = Cluster(Path(tempfile.mkdtemp(prefix="sq-role-")).resolve(), durable=False)
    with postgres.ensure_running(made.data_dir, durable=False):
        with psycopg.connect(made.dsn("postgres", "postgres"), autocommit=True) as connection:
            connection.execute("DROP DATABASE smartqueue")
            connection.execute("DROP ROLE smartqueue, smartqueue_web")
        yield made
    wait_until(lambda: not is_locked(made.guardian_lock), message="the server stops")
    shutil.rmtree(made.data_dir)


def run_script(cluster: Cluster, **environment: str) -> subprocess.CompletedProcess[str]:
    """As the postgres image runs a file of /docker-entrypoint-initdb.d."""
    command = [str(find_bin_dir() / "psql"), "-v", "ON_ERROR_STOP=1", "--no-password", "--no-psqlrc"]
    command += ["--dbname", cluster.dsn("postgres", "postgres"), "--file", str(K8S / "postgres-role.sql")]
    kept = {name: value for name, value in os.environ.items() if name != "APP_DB_PASSWORD"}
    return output_of(command, {**kept, **environment})


def test_role_owns_its_database_and_is_no_superuser(cluster: Cluster) -> None:
    result = run_script(cluster, APP_DB_PASSWORD='it\'s 100 % "quoted"')
    assert result.returncode == 0, result.stderr
    with psycopg.connect(cluster.dsn()) as connection:
        connection.execute("CREATE TABLE migrated (id bigint PRIMARY KEY)")
        row = connection.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchone()
    assert row == (False, False, False, False)
    with psycopg.connect(cluster.dsn("postgres", "postgres")) as connection:
        row = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'smartqueue'").fetchone()
    assert row is not None
    assert row[0].startswith("SCRAM-SHA-256$")


def test_set_up_stops_without_a_password(cluster: Cluster) -> None:
    result = run_script(cluster)
    assert result.returncode != 0
    with psycopg.connect(cluster.dsn("postgres", "postgres")) as connection:
        assert connection.execute("SELECT FROM pg_roles WHERE rolname = 'smartqueue'").fetchone() is None
