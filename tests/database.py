"""Pytest plugin, loaded before Django: points the settings at a throw-away PostgreSQL cluster.

The cluster is the embedded one of the product, started without fsync in a new folder and removed at
the end. With DATABASE_URL set, that server is used instead. Processes that tests start (workers,
schedulers, pytest-xdist) inherit the same variables.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

_OWNED = "SMARTQUEUE_TEST_CLUSTER"


def _use_throwaway_cluster() -> None:
    data_dir = tempfile.mkdtemp(prefix="sq-test-")
    os.environ[_OWNED] = str(os.getpid())
    os.environ["SMARTQUEUE_DATA_DIR"] = data_dir
    os.environ["SMARTQUEUE_EMBEDDED_DURABLE"] = "false"


for name in [name for name in os.environ if name.startswith("SMARTQUEUE_") and _OWNED not in os.environ]:
    del os.environ[name]
if _OWNED not in os.environ:
    os.environ["SMARTQUEUE_SECRET_KEY"] = "tests-only-" + "k" * 40
    os.environ["SMARTQUEUE_DB_POOL_TIMEOUT_S"] = "30"  # a loaded machine is no failure
    _use_throwaway_cluster()
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"


def pytest_sessionstart(session: pytest.Session) -> None:
    from smartqueue.startup import start_database

    start_database()


def pytest_unconfigure(config: pytest.Config) -> None:
    if os.environ.get(_OWNED) != str(os.getpid()):
        return
    from jobs import notify
    from smartqueue.startup import stop_database

    notify.end()
    stop_database()
    shutil.rmtree(Path(os.environ["SMARTQUEUE_DATA_DIR"]), ignore_errors=True)
