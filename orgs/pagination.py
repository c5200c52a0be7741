"""Cursor pages over an id, for every list of the API: stable while rows come and go, cheap at any depth."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

_LARGEST_ID = 2**63 - 1


class IdCursorPagination(CursorPagination):
    """`?cursor=` as given by `next` and `previous`, `?page_size=` from 1 to `max_page_size`. Newest first."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

    def decode_cursor(self, request: Request) -> Cursor | None:
        try:
            cursor: Cursor | None = super().decode_cursor(request)
        except NotFound:
            raise _invalid_cursor() from None
        if cursor is not None and not _is_id(cursor.position):
            raise _invalid_cursor()
        return cursor

    def get_page_size(self, request: Request) -> int | None:
        raw = request.query_params.get(self.page_size_query_param, str(self.page_size))
        if not (_is_number(raw) and 1 <= int(raw) <= self.max_page_size):
            raise ValidationError({"page_size": [f"Expected a whole number from 1 to {self.max_page_size}."]})
        return int(raw)


class OldestFirst(IdCursorPagination):
    ordering = "id"


def _is_id(position: Any) -> bool:
    return position is None or (_is_number(position) and int(position) <= _LARGEST_ID)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_ID))


def _invalid_cursor() -> ValidationError:
    return ValidationError({"cursor": ["Expected a value that `next` or `previous` of a page gave."]})
