"""The rules of single payload fields, each with the sentence that says what was expected.

Pure functions: the value comes back as it was, or `wrong(...)` is raised. Used by `jobs.payloads` only.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError

from jobs import functions

MAX_COMMAND_BYTES = 100_000  # Linux takes 128 KiB in one argument

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")
_OWN_HEADERS = {"connection", "content-length", "transfer-encoding"}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def wrong(message: str) -> PydanticCustomError:
    """An error whose message reaches the user as it is."""
    return PydanticCustomError("expected", "{message}", {"message": message})


def url(value: str) -> str:
    problem = wrong('Expected an address that starts with "http://" or "https://" and names a host.')
    if not value.isprintable() or " " in value:
        raise wrong("Expected an address without spaces and control characters.")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise problem from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise problem
    return value


def headers(values: dict[str, str]) -> dict[str, str]:
    for name, value in values.items():
        shown = name[:60]
        if not _HEADER_NAME.fullmatch(name):
            raise wrong(f"{shown!r} cannot be the name of a header: expected letters, digits and hyphens.")
        if name.lower() in _OWN_HEADERS:
            raise wrong(f"{shown} is set by SmartQueue itself.")
        if not _HEADER_VALUE.fullmatch(value):
            raise wrong(
                f"The value of {shown} holds a line break or another character that a header cannot carry: "
                "expected printable ASCII text without spaces at its ends."
            )
    return values


def status_codes(value: Any) -> Any:
    codes = value if isinstance(value, list) else [value]
    if not codes or not all(type(code) is int and 100 <= code <= 599 for code in codes):
        raise wrong("Expected a status code from 100 to 599, or a list of such codes.")
    return value


def command(value: str) -> str:
    if not value.strip():
        raise wrong("Expected a shell command, not blank text.")
    if len(value.encode()) > MAX_COMMAND_BYTES:
        raise wrong(f"Expected a command of at most {MAX_COMMAND_BYTES:,} bytes.")
    return value


def not_blank(value: str) -> str:
    if not value.strip():
        raise wrong("Expected text that is not blank.")
    return value


def table_name(value: str) -> str:
    if not _IDENTIFIER.fullmatch(value):
        raise wrong(
            f"{value[:60]!r} cannot be the name of a table: expected letters, digits and underscores, "
            "not a digit first, at most 63 characters."
        )
    return value


def table_names_differ(inputs: dict[str, Any]) -> dict[str, Any]:
    if not inputs:
        raise wrong("Expected at least one input.")
    if len({name.lower() for name in inputs}) < len(inputs):
        raise wrong("Expected names that differ by more than case: SQL does not tell them apart.")
    return inputs


def rows(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not any(values):
        raise wrong("Expected at least one row with at least one column.")
    return values


def registered_function(name: str) -> str:
    try:
        functions.get(name)
    except functions.UnknownFunction as error:
        raise wrong(str(error)) from None
    return name
