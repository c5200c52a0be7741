"""What cannot work is refused in a sentence that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartqueue import postgres
from smartqueue.postgres.cluster import Cluster


def refusal(data_dir: Path) -> str:
    with pytest.raises(postgres.EmbeddedPostgresError) as caught:
        postgres.ensure_running(data_dir, durable=False, wait_s=60)
    return str(caught.value)


def test_data_of_another_major_version(data_dir: Path) -> None:
    (data_dir / "postgres").mkdir()
    (data_dir / "postgres" / "PG_VERSION").write_text("15\n")

    message = refusal(data_dir)

    assert "made by PostgreSQL 15" in message
    assert "pg_dumpall" in message
    assert not postgres.is_running(data_dir)


def test_a_socket_folder_that_others_may_enter(data_dir: Path) -> None:
    folder = Cluster(data_dir).socket_dir
    folder.mkdir(mode=0o755)

    message = refusal(data_dir)

    folder.rmdir()
    assert str(folder) in message
    assert "nobody else may enter" in message


def test_a_data_folder_that_is_a_file(data_dir: Path) -> None:
    (data_dir / "file").touch()

    assert f"SMARTQUEUE_DATA_DIR={data_dir}/file: expected a folder" in refusal(data_dir / "file")


def test_a_server_that_cannot_start_shows_the_end_of_its_log(initialised: Path) -> None:
    (initialised / "postgres" / "postgresql.conf").write_text("no_such_setting = 1\n")

    with pytest.raises(postgres.EmbeddedPostgresError, match=r"did not serve(?s:.*)no_such_setting"):
        postgres.ensure_running(initialised, durable=False, wait_s=1)


def test_an_initdb_that_fails_is_not_tried_for_ever(data_dir: Path) -> None:
    (data_dir / "postgres.initdb").touch()

    assert "gave up 3 times" in refusal(data_dir)
