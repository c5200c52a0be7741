"""Inputs of `etl` and `ml` jobs as tables of an in-memory DuckDB, and the lock that is put on it afterwards.

Rows become a table with inferred types, a data set comes from `datasets`, a URL is fetched into the
job's working folder first. Then `lock` takes the database's access to files and network away, for good:
SQL that a user wrote runs only after that. The libraries that data sets and URLs need are imported when
one is used.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from jobs.executors.base import JobError, PermanentError, say
from jobs.payloads import Source

MEMORY_LIMIT_MB = 1000
LEAST_MEMORY_MB = 64  # with less, not even a small table can be made

_DISK_FULL = os.strerror(errno.ENOSPC)

_READERS = {
    "csv": "read_csv(?)",
    "json": "read_json_auto(?, sample_size = -1)",
    "parquet": "read_parquet(?)",
}


@contextmanager
def open_database(memory_mb: int | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A new database in memory, on one thread, that spills into the working folder when memory is short.

    It takes about half of the `memory_mb` of the job. Errors of DuckDB come out as PermanentError: the same
    SQL on the same rows fails again. Only a full disk may have room later.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": f"{_share_mb(memory_mb)}MB",
        "temp_directory": str(Path.cwd() / "spill"),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    try:
        with duckdb.connect(":memory:", config=settings) as database:
            yield database
    except duckdb.Error as error:
        if _DISK_FULL in str(error):
            raise JobError(f"DuckDB: {error}") from error
        raise PermanentError(f"DuckDB: {error}") from error


def _share_mb(memory_mb: int | None) -> int:
    if memory_mb is None:
        return MEMORY_LIMIT_MB
    return min(MEMORY_LIMIT_MB, max(LEAST_MEMORY_MB, memory_mb // 2))


def lock(database: duckdb.DuckDBPyConnection, writable: Path) -> None:
    """From now on no SQL reaches the network or any file but `writable`, and none can change that."""
    database.execute(f"SET allowed_paths = [{literal(writable)}]")
    database.execute("SET enable_external_access = false")
    database.execute("SET lock_configuration = true")


def load(database: duckdb.DuckDBPyConnection, name: str, source: Source) -> None:
    """Make the table `name`. Raises JobError where a URL may work later, PermanentError otherwise."""
    if source.dataset is not None:
        _load_dataset(database, name, source.dataset)
    elif source.url is not None:
        from jobs.executors import download

        path = Path.cwd() / f"{name}.download"
        kind = download.fetch(source.url, path)
        database.execute(f'CREATE TABLE "{name}" AS FROM {_READERS[kind]}', [str(path)])
        path.unlink()
    else:
        path = Path.cwd() / f"{name}.ndjson"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in source.rows or ()))
        database.execute(f'CREATE TABLE "{name}" AS FROM {_READERS["json"]}', [str(path)])
        path.unlink()
    say(f"{name}: {count(database, name):,} rows")


def literal(path: Path) -> str:
    """The path as a string in SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def count(database: duckdb.DuckDBPyConnection, name: str) -> int:
    """The number of rows of a table."""
    found = database.execute(f'SELECT count(*) FROM "{name}"').fetchone()  # noqa: S608  checked to be an identifier
    return int(found[0]) if found else 0


def _load_dataset(database: duckdb.DuckDBPyConnection, name: str, dataset: str) -> None:
    from jobs.executors import datasets

    database.register("smartqueue_dataset", datasets.load(dataset))
    database.execute(f'CREATE TABLE "{name}" AS FROM smartqueue_dataset')
    database.unregister("smartqueue_dataset")
