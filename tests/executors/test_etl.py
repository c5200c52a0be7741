from __future__ import annotations

import base64
import csv
import hashlib
import io
from pathlib import Path
from typing import Any

import duckdb
import pytest

from jobs.executors import download, etl, jsonvalue, tables
from jobs.executors.base import JobError, PermanentError
from tests.executors.conftest import Runner, make_spec
from tests.executors.receiver import Receiver

SALES = {
    "rows": [{"day": "2024-01-01", "eur": 2.5, "n": 1}, {"day": "2024-01-02", "eur": None, "note": 'é, "x"'}]
}

pytestmark = pytest.mark.usefixtures("folder")


def run(sql: str, format: str = "json", **inputs: Any) -> dict[str, Any]:
    payload = {"inputs": inputs or {"sales": SALES}, "sql": sql, "output": {"format": format}}
    return etl.execute(make_spec("etl", payload))


def refuse(sql: str, **inputs: Any) -> str:
    with pytest.raises(PermanentError) as raised:
        run(sql, **inputs)
    return str(raised.value)


def test_rows_become_a_table_with_types() -> None:
    result = run("SELECT column_name, column_type FROM (DESCRIBE sales)")
    assert result["rows"] == [["day", "DATE"], ["eur", "DOUBLE"], ["n", "BIGINT"], ["note", "VARCHAR"]]


def test_json_output() -> None:
    assert run("SELECT * FROM sales ORDER BY day") == {
        "format": "json",
        "columns": ["day", "eur", "n", "note"],
        "rows": [["2024-01-01", 2.5, 1, None], ["2024-01-02", None, None, 'é, "x"']],
        "row_count": 2,
        "truncated": False,
    }


def test_csv_output() -> None:
    result = run("SELECT day, note FROM sales ORDER BY day", "csv")
    assert list(csv.reader(io.StringIO(result["csv"]))) == [
        ["day", "note"],
        ["2024-01-01", ""],
        ["2024-01-02", 'é, "x"'],
    ]
    assert (result["row_count"], result["truncated"]) == (2, False)


def test_parquet_output(tmp_path: Path) -> None:
    result = run("SELECT day, eur FROM sales ORDER BY day", "parquet")
    content = base64.b64decode(result["parquet"])
    assert (len(content), hashlib.sha256(content).hexdigest()) == (result["bytes"], result["sha256"])
    (tmp_path / "again.parquet").write_bytes(content)
    with duckdb.connect() as database:
        rows = database.execute(
            "SELECT eur FROM read_parquet(?)", [str(tmp_path / "again.parquet")]
        ).fetchall()
    assert rows == [(2.5,), (None,)]


def test_several_statements_and_comments() -> None:
    sql = """
        CREATE TABLE daily AS SELECT day, sum(eur) AS eur FROM sales GROUP BY day; -- keep
        DELETE FROM daily WHERE eur IS NULL;
        SELECT * FROM daily -- the end
    """
    assert run(sql)["rows"] == [["2024-01-01", 2.5]]


def test_a_pivot_is_a_query() -> None:
    assert run("PIVOT sales ON note USING count(*) GROUP BY n")["row_count"] == 2


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes", "digits", "linnerud"])
def test_data_sets(name: str) -> None:
    rows = {"iris": 150, "wine": 178, "breast_cancer": 569, "diabetes": 442, "digits": 1797, "linnerud": 20}
    assert run("SELECT count(*) FROM t", t={"dataset": name})["rows"] == [[rows[name]]]


def test_a_pipeline_over_a_real_data_set() -> None:
    sql = "SELECT target, avg(petal_length_cm) AS length FROM iris GROUP BY target ORDER BY length"
    rows = run(sql, iris={"dataset": "iris"})["rows"]
    assert [(name, round(length, 3)) for name, length in rows] == [
        ("setosa", 1.462),
        ("versicolor", 4.26),
        ("virginica", 5.552),
    ]


def test_two_inputs_are_joined(web: Receiver) -> None:
    names = web.give("/names.csv", body=b"day,name\n2024-01-01,monday\n")
    sql = "SELECT name, eur FROM sales JOIN names USING (day)"
    assert run(sql, sales=SALES, names={"url": names})["rows"] == [["monday", 2.5]]


@pytest.mark.parametrize(
    ("path", "body", "content_type"),
    [
        ("/a.json", b'[{"a": 1}, {"a": 2}]', "text/plain"),
        ("/a.ndjson", b'{"a": 1}\n{"a": 2}\n', "text/plain"),
        ("/a.CSV", b"a\n1\n2\n", "text/plain"),
        ("/a.tsv", b"a\tb\n1\t1\n2\t1\n", "text/plain"),
        ("/a", b"a\n1\n2\n", "text/csv; charset=utf-8"),
        ("/a", b'[{"a": 1}, {"a": 2}]', "application/json"),
    ],
)
def test_urls(web: Receiver, path: str, body: bytes, content_type: str) -> None:
    url = web.give(path, body=body, Content_Type=content_type)
    assert run("SELECT sum(a)::INT FROM t", t={"url": url})["rows"] == [[3]]


def test_a_parquet_url(web: Receiver) -> None:
    content = base64.b64decode(run("SELECT 5 AS a", "parquet")["parquet"])
    url = web.give("/a.parquet", body=content)
    assert run("SELECT a FROM t", t={"url": url})["rows"] == [[5]]


def test_a_url_follows_redirects(web: Receiver) -> None:
    web.give("/new.csv", body=b"a\n1\n")
    assert run("SELECT a FROM t", t={"url": web.give("/old", 302, Location="/new.csv")})["rows"] == [[1]]


def test_urls_that_fail(web: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "404" in refuse("SELECT 1", t={"url": web.url + "/missing.csv"})
    assert "unknown kind" in refuse(
        "SELECT 1", t={"url": web.give("/page", body=b"x", Content_Type="text/html")}
    )
    assert "DuckDB" in refuse("SELECT 1", t={"url": web.give("/a.parquet", body=b"no parquet")})
    monkeypatch.setattr(download, "MAX_DOWNLOAD_BYTES", 1024)
    assert "larger than" in refuse("SELECT 1", t={"url": web.give("/big.csv", body=b"a\n" + b"1\n" * 1000)})
    with pytest.raises(JobError) as raised:
        run("SELECT 1", t={"url": web.give("/busy.csv", 503)})
    assert raised.value.retryable


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM read_blob('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM sniff_csv('{file}')",
        "COPY (SELECT 1) TO '{file}'; SELECT 1",
        "COPY sales FROM '{file}'; SELECT 1",
        "ATTACH '{file}' AS other; SELECT 1",
        "EXPORT DATABASE '{file}.d'; SELECT 1",
        "INSTALL httpfs; SELECT 1",
        "LOAD httpfs; SELECT 1",
        "LOAD '{file}'; SELECT 1",
        "SET enable_external_access = true; SELECT 1",
        "SET allowed_directories = ['/']; SELECT 1",
        "RESET lock_configuration; SELECT 1",
        "SET memory_limit = '100GB'; SELECT 1",
        "SELECT * FROM read_csv('http://127.0.0.1:1/a.csv')",
        "SELECT getenv('PATH')",
        "SELECT * FROM payload",
    ],
)
def test_sql_reaches_no_files_no_network_no_settings_and_no_python(sql: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nhunter2\n")
    message = refuse(sql.replace("{file}", str(secret)))
    assert message.startswith("DuckDB: ")
    assert "hunter2" not in message
    assert secret.read_text() == "word\nhunter2\n"


@pytest.mark.parametrize(
    "sql", ["INSERT INTO sales (n) VALUES (1)", "CREATE TABLE x (a INT)", "-- nothing", ";"]
)
def test_the_last_statement_must_be_a_query(sql: str) -> None:
    assert "must be a query" in refuse(sql)


def test_errors_in_sql_are_permanent_and_say_where() -> None:
    assert 'syntax error at or near "SELEC"' in refuse("SELEC 1")
    assert "nosuch" in refuse("SELECT * FROM nosuch")


def test_rows_beyond_the_limit_are_left_out() -> None:
    for format in ("json", "csv"):
        result = run("SELECT i, repeat('x', 100) AS x FROM range(10000) t(i)", format)
        assert (result["row_count"], result["truncated"]) == (10_000, True)
        assert jsonvalue.check(result) > 150_000


def test_one_row_beyond_the_limit() -> None:
    result = run("SELECT repeat('x', 300000) AS x")
    assert (result["rows"], result["row_count"], result["truncated"]) == ([], 1, True)


def test_a_parquet_file_that_does_not_fit_is_refused() -> None:
    with pytest.raises(PermanentError, match="Select fewer rows"):
        run("SELECT random() AS x FROM range(100000)", "parquet")


def test_values_that_json_does_not_have() -> None:
    sql = """SELECT 'nan'::DOUBLE, '-inf'::DOUBLE, 'a' || chr(0) || 'b', 12.50::DECIMAL(9, 2),
             TIMESTAMP '2024-01-02 03:04:05', INTERVAL 1 DAY, 'x'::BLOB, [1, NULL], {'a': {'b': 1}}"""
    [row] = run(sql)["rows"]
    assert row[:5] == [None, None, "ab", 12.5, "2024-01-02 03:04:05"]
    assert row[5:] == ["1 day", "x", [1, None], {"a": {"b": 1}}]
    jsonvalue.check(row)


def test_columns_of_one_name() -> None:
    result = run("SELECT 1 AS a, 2 AS a")
    assert (len(set(result["columns"])), result["rows"]) == (2, [[1, 2]])


def test_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MEMORY_LIMIT_MB", 50)
    assert "Out of Memory" in refuse("SELECT list(i) FROM range(100000000) t(i)")


@pytest.mark.asyncio
async def test_in_a_process_of_its_own(runner: Runner) -> None:
    payload = {"inputs": {"sales": SALES}, "sql": "SELECT sum(n)::INT FROM sales"}
    outcome = await runner.run("etl", payload)
    assert (outcome.status, outcome.result["rows"]) == ("done", [[1]])
    assert "sales: 2 rows" in runner.text()
    assert "result: 1 rows" in runner.text()
