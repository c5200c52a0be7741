"""What a submitted job may say: the one place that checks it, for API, pages and Python alike. Pure."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from jobs.payloads import PayloadError, parse_payload

JobType = Literal["http", "shell", "etl", "ml", "python"]
Lane = Literal["high", "normal", "low"]


class Submission(BaseModel):
    """A job to be submitted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        min_length=1, max_length=200, description="What the job is called; runs of one name are compared."
    )
    type: JobType = Field(description="Which executor runs it.")
    payload: dict[str, Any] = Field(description="What the executor needs; its fields depend on the type.")
    lane: Lane = Field("normal", description="A credit in the order of the queue, not a wall.")
    run_at: AwareDatetime | None = Field(None, description="Not before this time (ISO 8601 with offset).")
    max_retries: int | None = Field(
        None, ge=0, le=100, strict=True, description="Attempts after the first one."
    )
    timeout_s: float | None = Field(
        None, gt=0, le=86_400, allow_inf_nan=False, description="Limit of one attempt."
    )
    idempotency_key: str | None = Field(
        None, min_length=1, max_length=200, description="The same key again returns the first job."
    )

    @field_validator("name", "idempotency_key")
    @classmethod
    def _storable(cls, value: str | None) -> str | None:
        if value is not None and ("\x00" in value or any(0xD800 <= ord(char) <= 0xDFFF for char in value)):
            raise ValueError("must not contain NUL characters or unpaired surrogates")
        return value

    @field_validator("name")
    @classmethod
    def _visible(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be blank")
        return value

    @field_validator("run_at", mode="before")
    @classmethod
    def _written_out(cls, value: object) -> object:
        if value is not None and not isinstance(value, (str, datetime)):
            raise ValueError("expected a time with an offset, such as 2030-01-31T08:00:00Z")
        return value

    @field_validator("run_at")
    @classmethod
    def _in_range(cls, value: datetime | None) -> datetime | None:
        try:
            return None if value is None else value.astimezone(UTC)
        except OverflowError:
            raise ValueError("must be a time between the years 1 and 9999") from None

    def fingerprint(self) -> str:
        """SHA-256 over everything but the idempotency key: tells a repeated request from a different one."""
        body = self.model_dump(mode="json", exclude={"idempotency_key"})
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class SubmissionError(ValueError):
    """Some fields cannot be used: {dotted field: [what was expected]}."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__("; ".join(f"{name}: {' '.join(messages)}" for name, messages in fields.items()))
        self.fields = fields


def parse(values: object) -> Submission:
    """The checked submission; raises SubmissionError with every field that is wrong."""
    if not isinstance(values, dict):
        raise SubmissionError({"": ["Expected a JSON object."]})
    wrong: dict[str, list[str]] = {}
    submission = None
    try:
        submission = Submission.model_validate(values)
    except ValidationError as error:
        wrong = _fields_of(error)
    if not any(name == "type" or name.startswith("payload") for name in wrong):
        try:
            parse_payload(values["type"], values["payload"])
        except PayloadError as error:
            wrong |= error.fields
    if wrong or submission is None:
        raise SubmissionError(wrong)
    return submission


def _fields_of(error: ValidationError) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        name = ".".join(str(part) for part in problem["loc"])
        fields.setdefault(name, []).append(_sentence(problem["type"], problem["msg"]))
    return fields


SENTENCES = {
    "missing": "This field is required.",
    "extra_forbidden": "Unknown field.",
    "dict_type": "Expected a JSON object.",
    "string_type": "Expected text.",
    "string_too_short": "Must not be empty.",
    "int_type": "Expected a whole number.",
    "float_type": "Expected a number.",
    "datetime_from_date_parsing": "Expected a time with an offset, such as 2030-01-31T08:00:00Z.",
    "datetime_parsing": "Expected a time with an offset, such as 2030-01-31T08:00:00Z.",
    "timezone_aware": "Expected a time with an offset, such as 2030-01-31T08:00:00Z.",
}


def _sentence(kind: str, message: str) -> str:
    if kind in SENTENCES:
        return SENTENCES[kind]
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    return message[:1].upper() + message[1:] + "."
