from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.executors import jsonvalue
from tests.executors.conftest import UNHURRIED

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner)
)


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"a": [1, "x\x00"]}, ("a", 1), "NUL"),
        ({"a\x00": 1}, (), "NUL"),
        ({"a": "\ud800"}, ("a",), "surrogates"),
        ([float("nan")], (0,), "finite"),
        ([float("-inf")], (0,), "finite"),
        ({1: 2}, (), "int"),
        ({"a": {"b": b"x"}}, ("a", "b"), "bytes"),
        ({"a": 10**400}, ("a",), "308 digits"),
        (nested(33), (0,), "32 levels"),
        (["x" * 256 * 1024], (), "256 KiB"),
        ("é" * 140_000, (), "280,002 bytes"),
    ],
)
def test_what_cannot_be_stored_is_named(value: Any, path: jsonvalue.Path, words: str) -> None:
    with pytest.raises(jsonvalue.Unstorable, match=words) as raised:
        jsonvalue.check(value)
    assert raised.value.path == path


@pytest.mark.parametrize("value", [nested(32), "x" * (256 * 1024 - 2), 10**300, "\U0001f600", {"": None}])
def test_what_is_just_within_the_limits_is_taken(value: Any) -> None:
    assert jsonvalue.check(value) == len(
        json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    )


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(jsonvalue.Unstorable, match="levels"):
        jsonvalue.check(value)


def test_a_small_value_that_unfolds_to_a_huge_one_is_refused() -> None:
    value: list[Any] = ["x"]
    for _ in range(30):
        value = [value, value]
    with pytest.raises(jsonvalue.Unstorable, match="KiB"):
        jsonvalue.check(value)


@settings(UNHURRIED, max_examples=50)
@given(VALUES)
def test_what_passes_survives_a_round_trip(value: Any) -> None:
    try:
        jsonvalue.check(value)
    except jsonvalue.Unstorable:
        return
    text = json.dumps(value, allow_nan=False)
    assert json.loads(text) == value
    assert "\x00" not in str(value)


def test_cleaned_makes_every_text_storable() -> None:
    dirty = {"a\x00": ["\x00b", {"c": "\ud800"}], "n": 1.5}
    assert jsonvalue.cleaned(dirty) == {"a": ["b", {"c": "\ufffd"}], "n": 1.5}
