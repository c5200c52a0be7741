"""`etl` jobs: SQL over the inputs in DuckDB, in memory, without access to files and network.

All statements run in order; the rows of the last one, a query, are the result. What does not fit into a
result is left out and `truncated` says so; a Parquet file, useless when cut, must fit.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb

from jobs.executors import jsonvalue, tables
from jobs.executors.base import JobSpec, PermanentError, say
from jobs.executors.payload import checked
from jobs.payloads import EtlPayload

MAX_ROWS_BYTES = 192 * 1024
MAX_PARQUET_BYTES = 176 * 1024

_RESULT = "smartqueue result"
_QUERIES = (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI)

Row = Sequence[Any]


def execute(spec: JobSpec) -> dict[str, Any]:
    """{"format", "columns", "row_count", "truncated"} and the rows, in a form that depends on the format.

    json: "rows", a list of lists in the order of the columns. csv: "csv", text with a header line.
    parquet: "parquet", the file in base64, with "bytes" and "sha256" of the file.
    """
    payload = checked(EtlPayload, spec.payload)
    started = time.perf_counter()
    file = Path.cwd() / "result.parquet"
    with tables.open_database(spec.memory_mb) as database:
        for name, source in payload.inputs.items():
            tables.load(database, name, source)
        tables.lock(database, writable=file)
        _run(database, payload.sql)
        result = _OUTPUTS[payload.output.format](database, file)
    say(f"result: {result['row_count']:,} rows, {time.perf_counter() - started:.2f} s")
    return {"format": payload.output.format, **result}


def _run(database: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Run the statements, and keep the rows of the last one in a table of their own."""
    statements = database.extract_statements(sql)
    if not statements or statements[-1].type not in _QUERIES:
        raise PermanentError(
            "The last statement of sql must be a query, such as SELECT: its rows are the result."
        )
    for statement in statements[:-1]:
        database.execute(statement)
    query = statements[-1].query.rstrip().rstrip(";")
    database.execute(f'CREATE TEMP TABLE "{_RESULT}" AS FROM ({query}\n)')


def _as_json(database: duckdb.DuckDBPyConnection, file: Path) -> dict[str, Any]:
    database.execute(f'SELECT json_array(*COLUMNS(*)) FROM "{_RESULT}"')  # noqa: S608
    rows = _as_many_as_fit(database, _json_row)
    return {**_summary(database, len(rows)), "rows": rows}


def _as_csv(database: duckdb.DuckDBPyConnection, file: Path) -> dict[str, Any]:
    header = _csv_row(_columns(database))
    database.execute(f'SELECT CAST(COLUMNS(*) AS VARCHAR) FROM "{_RESULT}"')  # noqa: S608
    lines = _as_many_as_fit(database, _csv_row)
    return {**_summary(database, len(lines)), "csv": header + "".join(lines)}


def _as_parquet(database: duckdb.DuckDBPyConnection, file: Path) -> dict[str, Any]:
    database.execute(
        f'COPY "{_RESULT}" TO {tables.literal(file)} (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)'
    )
    content = file.read_bytes()
    if len(content) > MAX_PARQUET_BYTES:
        raise PermanentError(
            f"The Parquet file has {len(content):,} bytes; a result takes at most {MAX_PARQUET_BYTES:,}. "
            "Select fewer rows or columns."
        )
    return {
        **_summary(database),
        "parquet": base64.b64encode(content).decode(),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


_OUTPUTS: dict[str, Callable[[duckdb.DuckDBPyConnection, Path], dict[str, Any]]] = {
    "json": _as_json,
    "csv": _as_csv,
    "parquet": _as_parquet,
}


def _summary(database: duckdb.DuckDBPyConnection, taken: int | None = None) -> dict[str, Any]:
    rows = tables.count(database, _RESULT)
    return {"columns": _columns(database), "row_count": rows, "truncated": taken is not None and taken < rows}


def _columns(database: duckdb.DuckDBPyConnection) -> list[str]:
    return [row[0] for row in database.execute(f'DESCRIBE "{_RESULT}"').fetchall()]


def _as_many_as_fit(database: duckdb.DuckDBPyConnection, render: Callable[[Row], Any]) -> list[Any]:
    """The first rows of the statement that was just executed, rendered, up to MAX_ROWS_BYTES as JSON."""
    taken: list[Any] = []
    room = MAX_ROWS_BYTES
    while chunk := database.fetchmany(500):
        for row in chunk:
            value = render(row)
            room -= len(json.dumps(value, ensure_ascii=False).encode()) + 2
            if room < 0:
                return taken
            taken.append(value)
    return taken


def _json_row(row: Row) -> Any:
    """DuckDB writes every type as JSON, and NaN and the infinities as well, which JSON has not: null."""
    return jsonvalue.cleaned(json.loads(row[0], parse_constant=lambda _: None))


def _csv_row(row: Row) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(row)
    return jsonvalue.clean_text(line.getvalue())
