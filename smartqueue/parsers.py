"""How the API reads a body: JSON, as strict as what the database can store."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any, NoReturn

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, get_encoding  # type: ignore[attr-defined]

from orgs.exceptions import TooLarge


def loads(body: bytes, encoding: str = "utf-8") -> Any:
    """Raises ValueError and RecursionError."""
    return json.loads(body.decode(encoding), parse_constant=_refuse, parse_float=_finite)


class StrictJSONParser(BaseParser):
    """Refuses what Python's reader lets pass: nesting without end, NaN, and numbers beyond a double.

    A view that takes more than DATA_UPLOAD_MAX_MEMORY_SIZE says so in `largest_body`, in bytes. To REST
    framework's own JSONParser it would be of no use: bodies for that are held to the setting before.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        context = parser_context or {}
        try:
            return loads(_read(stream, context.get("view")), get_encoding(context))
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}") from None


def _read(stream: IO[Any], view: Any) -> bytes:
    limit = getattr(view, "largest_body", settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    body: bytes = stream.read(limit + 1)
    if len(body) > limit:
        raise TooLarge(f"The body of the request is too large: at most {limit} bytes.")
    return body


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:30]} is too large a number")
    return number
