from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from jobs.payloads import JOB_TYPES, PAYLOADS, PayloadError, parse_payload
from tests.executors.conftest import UNHURRIED

FIELDS = sorted({name for model in PAYLOADS.values() for name in model.model_json_schema()["properties"]})
WORDS = [
    "http://x/",
    "noop",
    "add",
    "iris",
    "SVC",
    "Ridge",
    "json",
    "csv",
    "target",
    "POST",
    "SELECT 1",
    "rows",
    "url",
]

text = st.text(st.characters(exclude_categories=())) | st.sampled_from(WORDS)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text | st.binary()
keys = st.sampled_from([*FIELDS, "rows", "dataset", "format"]) | text | st.integers()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(keys, inner), max_leaves=20)
payloads = st.dictionaries(st.sampled_from(FIELDS), values) | values


@UNHURRIED
@given(st.sampled_from(JOB_TYPES) | values, payloads)
@example("http", {"url": "http://\ud800/"})
@example("etl", {"inputs": {"rows": {"rows": [{"rows": 1}]}}, "sql": "rows"})
@example("python", {"function": "echo", "kwargs": {"self": 1, "name": 2}})
def test_nothing_but_payload_error_comes_out(type: Any, payload: Any) -> None:
    try:
        parsed = parse_payload(type, payload)
    except PayloadError as error:
        assert error.fields
        assert all(
            name.split(".")[0] in {"type", "payload"} and texts for name, texts in error.fields.items()
        )
        return
    assert isinstance(parsed, PAYLOADS[type])
    json.dumps(payload, allow_nan=False).encode()


@UNHURRIED
@given(st.sampled_from(JOB_TYPES), payloads)
def test_what_is_taken_is_taken_again_after_storage(type: str, payload: Any) -> None:
    try:
        first = parse_payload(type, payload)
    except PayloadError:
        return
    assert parse_payload(type, json.loads(json.dumps(payload))) == first
