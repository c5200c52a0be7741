"""The payload of an `http`, `etl` or `ml` job as its executor wants it."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from jobs.executors.base import PermanentError

Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], payload: dict[str, Any]) -> Model:
    """The payload; PermanentError for one that this version does not take, whoever let it in."""
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        fields = "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
        raise PermanentError(f"The payload cannot be used: {fields}.") from None
