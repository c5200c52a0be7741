"""`manage.py migrate` on a server that has no role for web requests yet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orgs.walls import ROLE
from smartqueue import postgres
from smartqueue.postgres.cluster import Cluster
from smartqueue.postgres.locks import is_locked
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster(Path(tempfile.mkdtemp(prefix="sq-web-")).resolve(), durable=False)
    with postgres.ensure_running(made.data_dir, durable=False):
        yield made
    wait_until(lambda: not is_locked(made.guardian_lock), message="the server stops")
    shutil.rmtree(made.data_dir)


def migrate(cluster: Cluster) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATABASE_URL": cluster.dsn(), "SMARTQUEUE_SECRET_KEY": "k" * 40}
    return subprocess.run(
        [sys.executable, "manage.py", "migrate", "orgs", "0006"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_who_may_not_make_the_role_is_told_what_an_administrator_runs(cluster: Cluster) -> None:
    with psycopg.connect(cluster.dsn("postgres", "postgres"), autocommit=True) as admin:
        admin.execute(f"DROP ROLE {ROLE}")
        refused = migrate(cluster)
        assert refused.returncode != 0
        remedy = refused.stderr.strip().splitlines()[-1]
        assert remedy.startswith("NoRole: smartqueue may not make the role smartqueue_web")
        for statement in remedy.split("once: ")[1].split(";")[:2]:
            admin.execute(statement.encode())

        admin.execute(f"ALTER ROLE {ROLE} BYPASSRLS")
        refused = migrate(cluster)
        assert "no policy would hold it" in refused.stderr.strip().splitlines()[-1]
        admin.execute(f"ALTER ROLE {ROLE} NOBYPASSRLS")
    done = migrate(cluster)
    assert done.returncode == 0, done.stderr
