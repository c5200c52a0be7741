"""Whatever a caller sends: no server error, only answers that the OpenAPI document describes, nothing of others.

Each request runs against the real views and PostgreSQL, and is rolled back: what it did, the next one does not meet.
Requests are the same in every run. The short form has each operation asked by two or three kinds of callers; the long
one (`-m slow`) by all, and by an org admin also with the edges of every parameter and field.

Not asked for: that all data outside the document is refused, as REST framework reads 5 from "5"; that all within is
accepted, as rules between fields are not in the document. Methods that a path does not have are answered 405.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote_plus
from zlib import crc32

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.db import transaction
from drf_spectacular.generators import SchemaGenerator
from schemathesis.checks import (
    content_type_conformance,
    load_all_checks,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.pytest.lazy import get_all_tests

from orgs import roles
from tests.schema.conftest import CALLERS, Caller
from tests.schema.planting import FAR_ID, FAR_TEXT

SHORT, LONG = 3, 50
BETWEEN = 3  # in the short form each caller makes requests of every third operation
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def test_a_few_requests(caller: Caller, subtests: pytest.Subtests) -> None:
    first = CALLERS.index(caller.who) % BETWEEN
    _ask_often(_operations(caller, examples=SHORT)[first::BETWEEN], subtests)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_requests(caller: Caller, subtests: pytest.Subtests) -> None:
    boundaries = caller.who == roles.ORG_ADMIN
    _ask_often(_operations(caller, examples=LONG, boundaries=boundaries), subtests)


def _operations(
    caller: Caller, *, examples: int, boundaries: bool = False
) -> list[tuple[str, Callable[[], None]]]:
    """By name, what asks each operation `examples` times; with `boundaries` also by all edges of its schema."""
    document = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(public=True))
    document.app = WSGIHandler()
    document.config.generation.update(
        max_examples=examples, deterministic=True, with_security_parameters=False
    )
    document.config.phases.coverage.enabled = boundaries
    load_all_checks()

    def ask(case: schemathesis.Case) -> None:
        _ask(case, caller)

    found = get_all_tests(schema=document, test_func=ask, settings=None, given_kwargs=None)
    return [(operation.label, often) for operation, often in (one.ok() for one in found)]


def _ask_often(operations: list[tuple[str, Callable[[], None]]], subtests: pytest.Subtests) -> None:
    assert operations
    for name, ask_often in operations:
        with subtests.test(name):
            ask_often()


def _ask(case: schemathesis.Case, caller: Caller) -> None:
    _name_what_exists(case, caller)
    with _rolled_back():
        response = case.call(headers=caller.headers)
    case.validate_response(response, checks=CHECKS)
    if not caller.sees_all:
        sent = f"{unquote_plus(response.request.url or '')} {_text(response.request.body)} {case.headers}"
        _check_nothing_of_others(response.text, sent)


@contextmanager
def _rolled_back() -> Iterator[None]:
    point = transaction.savepoint()
    try:
        yield
    finally:
        transaction.set_rollback(False)
        transaction.savepoint_rollback(point)


def _name_what_exists(case: schemathesis.Case, caller: Caller) -> None:
    """Three of four requests name rows of the caller's organisation or of the other: random ids hit none."""
    places = [case.path_parameters, case.query, case.headers]
    if isinstance(case.body, dict):
        places.append(case.body)
    choice = crc32(repr((case.operation.label, places)).encode())
    for place in places:
        for name in [name for name in place if name in caller.near.names]:
            choice, quarter = divmod(choice, 4)
            side = caller.far if quarter < 2 else caller.near
            if quarter < 3:
                values = side.names[name]
                place[name] = values[choice % len(values)]


def _check_nothing_of_others(answer: str, sent: str) -> None:
    found = {*FAR_TEXT.findall(answer), *FAR_ID.findall(answer)}
    leaked = {text for text in found if text not in sent}
    assert not leaked, f"Of another organisation: {sorted(leaked)}"


def _text(body: Any) -> str:
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
