from __future__ import annotations

from typing import Any

import pytest

from jobs.executors.base import EXECUTORS
from jobs.payloads import JOB_TYPES, PAYLOADS, PayloadError, parse_payload

URL = "http://127.0.0.1:8000/healthz"
ROWS = {"rows": [{"a": 1}]}
IRIS = {"dataset": "iris"}
LEARN = {"target": "target", "estimator": "LogisticRegression"}

GOOD: list[tuple[str, dict[str, Any]]] = [
    ("http", {"url": URL}),
    ("http", {"url": "https://user:pw@example.com:8443/a?b=c#d", "method": "POST", "json": {"a": [1, None]}}),
    ("http", {"url": URL, "method": "PUT", "body": "text", "headers": {"X-A": "b c", "X-Empty": ""}}),
    ("http", {"url": URL, "timeout_s": 5, "expect_status": 204}),
    ("http", {"url": URL, "expect_status": [200, 404], "json": None}),
    ("shell", {"command": "echo 'hi'\nls"}),
    ("etl", {"inputs": {"sales": ROWS, "iris": IRIS, "_u": {"url": URL}}, "sql": "SELECT 1"}),
    ("etl", {"inputs": {"t": ROWS}, "sql": "SELECT 1", "output": {"format": "parquet"}}),
    ("ml", {"dataset": "iris", **LEARN}),
    ("ml", {"inputs": {"t": ROWS}, **LEARN, "params": {"C": 0.5}, "test_size": 0.5}),
    ("ml", {"inputs": ROWS, **LEARN}),
    ("ml", {"inputs": {"rows": {"url": URL}}, **LEARN}),
    ("python", {"function": "noop"}),
    ("python", {"function": "add", "args": [1], "kwargs": {"b": 2}}),
]

BAD: list[tuple[str, Any, str, str]] = [
    ("http", {}, "payload.url", "required"),
    ("http", [], "payload", "JSON object"),
    ("http", {"url": URL, "colour": 1}, "payload.colour", "Unknown field"),
    ("http", {"url": URL, "json_body": 1}, "payload.json_body", "Unknown field"),
    ("http", {"url": 5}, "payload.url", "Expected text"),
    ("http", {"url": "ftp://x/"}, "payload.url", "http://"),
    ("http", {"url": "file:///etc/passwd"}, "payload.url", "http://"),
    ("http", {"url": "http://"}, "payload.url", "host"),
    ("http", {"url": "http://[::1"}, "payload.url", "http://"),
    ("http", {"url": "http://x:99999/"}, "payload.url", "http://"),
    ("http", {"url": "http://a b/"}, "payload.url", "spaces"),
    ("http", {"url": "http://a/\r\nX: y"}, "payload.url", "control characters"),
    ("http", {"url": "http://x/" + "a" * 8000}, "payload.url", "8000"),
    ("http", {"url": URL, "method": "post"}, "payload.method", "'POST'"),
    ("http", {"url": URL, "method": "CONNECT"}, "payload.method", "'GET'"),
    ("http", {"url": URL, "headers": {"A": "b\r\nC: d"}}, "payload.headers", "line break"),
    ("http", {"url": URL, "headers": {"A": "b\nC"}}, "payload.headers", "line break"),
    ("http", {"url": URL, "headers": {"A\n": "b"}}, "payload.headers", "header"),
    ("http", {"url": URL, "headers": {"A": "é"}}, "payload.headers", "ASCII"),
    ("http", {"url": URL, "headers": {"Content-Length": "5"}}, "payload.headers", "SmartQueue"),
    ("http", {"url": URL, "headers": {"A": 1}}, "payload.headers.A", "Expected text"),
    ("http", {"url": URL, "headers": []}, "payload.headers", "JSON object"),
    ("http", {"url": URL, "json": 1, "body": "x"}, "payload", "not both"),
    ("http", {"url": URL, "json": None, "body": "x"}, "payload", "not both"),
    ("http", {"url": URL, "body": {"a": 1}}, "payload.body", "Expected text"),
    ("http", {"url": URL, "timeout_s": 0}, "payload.timeout_s", "greater than 0"),
    ("http", {"url": URL, "timeout_s": "5"}, "payload.timeout_s", "Expected a number"),
    ("http", {"url": URL, "timeout_s": True}, "payload.timeout_s", "Expected a number"),
    ("http", {"url": URL, "timeout_s": 1e9}, "payload.timeout_s", "3600"),
    ("http", {"url": URL, "expect_status": "200"}, "payload.expect_status", "100 to 599"),
    ("http", {"url": URL, "expect_status": [200, True]}, "payload.expect_status", "100 to 599"),
    ("http", {"url": URL, "expect_status": []}, "payload.expect_status", "list"),
    ("http", {"url": URL, "expect_status": 99}, "payload.expect_status", "100"),
    ("http", {"url": URL, "json": float("nan")}, "payload.json", "finite"),
    ("http", {"url": URL, "json": {"a": ["\x00"]}}, "payload.json.a.0", "NUL"),
    ("shell", {"command": ""}, "payload.command", "not blank"),
    ("shell", {"command": "x" * 100_001}, "payload.command", "100,000"),
    ("shell", {"command": "echo \x00"}, "payload.command", "NUL"),
    ("shell", {"command": ["ls"]}, "payload.command", "Expected text"),
    ("shell", {"command": "x" * 300_000}, "payload", "256 KiB"),
    ("etl", {"sql": "SELECT 1"}, "payload.inputs", "required"),
    ("etl", {"inputs": {}, "sql": "SELECT 1"}, "payload.inputs", "at least one"),
    ("etl", {"inputs": {"t": ROWS}, "sql": " "}, "payload.sql", "blank"),
    ("etl", {"inputs": {"1t": ROWS}, "sql": "SELECT 1"}, "payload.inputs.1t", "digit"),
    ("etl", {"inputs": {'t" --': ROWS}, "sql": "SELECT 1"}, 'payload.inputs.t" --', "letters"),
    ("etl", {"inputs": {"t": ROWS, "T": ROWS}, "sql": "SELECT 1"}, "payload.inputs", "case"),
    ("etl", {"inputs": {"t": {}}, "sql": "SELECT 1"}, "payload.inputs.t", "exactly one"),
    ("etl", {"inputs": {"t": ROWS | IRIS}, "sql": "SELECT 1"}, "payload.inputs.t", "exactly one"),
    ("etl", {"inputs": {"t": 5}, "sql": "SELECT 1"}, "payload.inputs.t", "JSON object"),
    ("etl", {"inputs": {"t": {"rows": []}}, "sql": "SELECT 1"}, "payload.inputs.t.rows", "at least one row"),
    ("etl", {"inputs": {"t": {"rows": [[1]]}}, "sql": "x"}, "payload.inputs.t.rows.0", "JSON object"),
    ("etl", {"inputs": {"t": {"dataset": "mnist"}}, "sql": "x"}, "payload.inputs.t.dataset", "'iris'"),
    ("etl", {"inputs": {"t": {"url": "/etc/passwd"}}, "sql": "x"}, "payload.inputs.t.url", "http://"),
    (
        "etl",
        {"inputs": {"t": ROWS}, "sql": "x", "output": {"format": "xml"}},
        "payload.output.format",
        "'csv'",
    ),
    ("ml", LEARN, "payload", "exactly one"),
    ("ml", {"dataset": "iris", "inputs": {"t": ROWS}, **LEARN}, "payload", "exactly one"),
    ("ml", {"inputs": {"t": ROWS, "u": ROWS}, **LEARN}, "payload", "exactly one table"),
    ("ml", {"inputs": {"rows": [5]}, **LEARN}, "payload.inputs.rows.0", "JSON object"),
    ("ml", {"dataset": "iris", "estimator": "SVC"}, "payload.target", "required"),
    ("ml", {"dataset": "iris", "target": "t", "estimator": "os.system"}, "payload.estimator", "'SVC'"),
    ("ml", {"dataset": "iris", **LEARN, "test_size": 1}, "payload.test_size", "less than 1"),
    ("ml", {"dataset": "iris", **LEARN, "params": []}, "payload.params", "JSON object"),
    ("python", {"function": "os.system"}, "payload.function", "SMARTQUEUE_FUNCTIONS"),
    ("python", {"function": "add", "args": [1]}, "payload", "missing a required argument: 'b'"),
    ("python", {"function": "noop", "kwargs": {"x": 1}}, "payload", "unexpected keyword argument 'x'"),
    ("python", {"function": "noop", "args": {}}, "payload.args", "Expected a list"),
]


@pytest.mark.parametrize(("type", "payload"), GOOD)
def test_good_payloads_are_taken(type: str, payload: dict[str, Any]) -> None:
    assert isinstance(parse_payload(type, payload), PAYLOADS[type])


@pytest.mark.parametrize(("type", "payload", "field", "words"), BAD)
def test_bad_payloads_are_refused_by_field(type: str, payload: Any, field: str, words: str) -> None:
    with pytest.raises(PayloadError) as raised:
        parse_payload(type, payload)
    assert list(raised.value.fields) == [field]
    assert words in " ".join(raised.value.fields[field])


@pytest.mark.parametrize("type", ["bash", "", None, 5, ["http"], {}])
def test_an_unknown_type_is_refused(type: Any) -> None:
    with pytest.raises(PayloadError) as raised:
        parse_payload(type, {})
    assert raised.value.fields == {"type": ["Expected one of http, shell, etl, ml, python."]}


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(PayloadError) as raised:
        parse_payload("http", {"method": "X", "headers": {"A": 1}, "x": 1})
    assert set(raised.value.fields) == {"payload.url", "payload.method", "payload.headers.A", "payload.x"}


def test_a_json_bomb_is_refused() -> None:
    bomb: dict[str, Any] = {}
    for _ in range(100_000):
        bomb = {"a": bomb}
    with pytest.raises(PayloadError, match="32 levels"):
        parse_payload("http", {"url": URL, "json": bomb})


def test_defaults_are_filled_in() -> None:
    http = parse_payload("http", {"url": URL}).model_dump()
    assert (http["method"], http["headers"], http["timeout_s"]) == ("GET", {}, 30.0)
    assert parse_payload("ml", {"dataset": "iris", **LEARN}).model_dump()["test_size"] == 0.25


@pytest.mark.parametrize("type", JOB_TYPES)
def test_every_field_is_described_for_the_api_schema(type: str) -> None:
    schema = PAYLOADS[type].model_json_schema()
    models = [schema, *schema.get("$defs", {}).values()]
    undescribed = [
        name for model in models for name, field in model["properties"].items() if "description" not in field
    ]
    assert undescribed == []
    assert all(model["additionalProperties"] is False for model in models)


def test_every_type_has_a_payload_and_an_executor() -> None:
    assert set(JOB_TYPES) == set(PAYLOADS) == set(EXECUTORS)


def test_the_schema_calls_the_json_body_json() -> None:
    assert "json" in PAYLOADS["http"].model_json_schema()["properties"]
