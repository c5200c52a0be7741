"""Query parameters and bodies of the API, checked by a serializer. Used by the views of every part."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request

from orgs.exceptions import InvalidInput
from orgs.serializers import StrictSerializer


def checked_query(
    shape: type[StrictSerializer], request: Request, *, besides: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The query parameters of a request; `besides` are read by somebody else. Raises ValidationError."""
    given = request.query_params
    twice = {name: ["Given more than once."] for name, values in given.lists() if len(values) > 1}
    if twice:
        raise InvalidInput(fields=twice)
    query = shape(data={name: value for name, value in given.items() if name not in besides})
    known = ", ".join((*query.fields, *besides))
    query.unknown_field = f"Unknown parameter: expected {f'one of {known}' if known else 'none'}."
    query.is_valid(raise_exception=True)
    return dict(query.validated_data)


def refuse_no_body(request: Request, everything: str) -> None:
    """For requests where an empty body means everything: it must be sent. `everything`: what it would do."""
    if not request.body.strip():
        raise InvalidInput(fields={"body": [f"Nothing was sent. Send {{}} to {everything}."]})


def checked_body(shape: type[StrictSerializer], request: Request) -> dict[str, Any]:
    """The body of a request; none at all is an empty one. Raises ValidationError."""
    body = shape(data=request.data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)
