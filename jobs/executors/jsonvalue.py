"""Which values may be stored as JSON: the same rules for payloads coming in and results going out.

PostgreSQL's jsonb takes no NUL characters, no NaN and no unpaired surrogates, and gives up on deep
nesting; the limits here keep every value well inside of what it takes. Pure; called by
`jobs.payloads` and by the executors.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_NUMBER_BITS = 1024

_UNPAIRED = re.compile("[\ud800-\udfff]")
_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

Path = tuple[str | int, ...]
_NESTED = (dict, list)


class Unstorable(ValueError):
    """A value that cannot be stored: `path` leads to the wrong part, the message says what was expected."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


def check(value: Any) -> int:
    """The size of `value` as compact JSON in bytes of UTF-8; raises Unstorable if it cannot be stored."""
    _walk(value)
    size = len(_COMPACT.encode(value).encode())
    if size > MAX_BYTES:
        raise Unstorable((), _too_large(f"this is {size:,} bytes"))
    return size


def clean_text(text: str) -> str:
    """`text` without the characters that cannot be stored."""
    return _UNPAIRED.sub("\ufffd", text.replace("\x00", ""))


def cleaned(value: Any) -> Any:
    """The value with `clean_text` applied to every text in it."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [cleaned(item) for item in value]
    if isinstance(value, dict):
        return {clean_text(key): cleaned(item) for key, item in value.items()}
    return value


def _walk(root: Any) -> None:
    """Look at every part, without recursion: a deep value must not exhaust the stack of its checker."""
    seen = 0
    stack: list[tuple[Path, Any]] = [((), root)]
    while stack:
        path, value = stack.pop()
        # Each part takes at least one byte, so this also ends on a value that holds itself many times over.
        seen += 1 + (len(value) if isinstance(value, str) else 0)
        if seen > MAX_BYTES:
            raise Unstorable((), _too_large("this is more"))
        if isinstance(value, _NESTED):
            if len(path) >= MAX_DEPTH:
                raise Unstorable(path[:1], f"Expected at most {MAX_DEPTH} levels of nesting.")
            stack.extend(_parts(path, value))
        else:
            _check_scalar(path, value)


def _parts(path: Path, value: dict[Any, Any] | list[Any]) -> list[tuple[Path, Any]]:
    if isinstance(value, list):
        return [((*path, index), item) for index, item in enumerate(value)]
    for key in value:
        if not isinstance(key, str):
            raise Unstorable(path, f"Expected text as the name of a field, not {type(key).__name__}.")
        _check_text(path, key, "the name of a field")
    return [((*path, key), item) for key, item in value.items()]


def _check_scalar(path: Path, value: Any) -> None:
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_text(path, value, "text")
    elif isinstance(value, int):
        if value.bit_length() > MAX_NUMBER_BITS:
            raise Unstorable(path, "Expected a number of at most 308 digits.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Unstorable(path, "Expected a finite number: JSON has no NaN and no Infinity.")
    else:
        raise Unstorable(path, f"Expected a JSON value, not {type(value).__name__}.")


def _check_text(path: Path, text: str, what: str) -> None:
    if "\x00" in text:
        raise Unstorable(path, f"Expected {what} without NUL characters (\\u0000).")
    if _UNPAIRED.search(text):
        raise Unstorable(path, f"Expected {what} without unpaired surrogates (\\ud800 to \\udfff).")


def _too_large(found: str) -> str:
    return f"Expected at most {MAX_BYTES // 1024} KiB as JSON; {found}."
