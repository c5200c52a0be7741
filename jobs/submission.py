"""What a submitted job may say: the one place that checks it, for API, pages and Python alike. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from jobs.payloads import PayloadError, parse_payload
from jobs.retries import MAX_DELAY_S

JobType = Literal["http", "shell", "etl", "ml", "python"]
Lane = Literal["high", "normal", "low"]

DEFAULT_QUEUE = "default"
QUEUE_NAME = r"^[A-Za-z0-9._-]{1,60}$"
MOST_TAGS = 20
LONGEST_DELAY_S = 10 * 366 * 86_400
MOST_NAMED = 20  # wrong fields of one job

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def _storable(value: str | None) -> str | None:
    if value is not None and _UNSTORABLE.search(value):
        raise ValueError("must not contain NUL characters or unpaired surrogates")
    return value


def _visible(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


# The limits stand beside `str`: around a type with validators they would be those of any sequence.
Label = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_storable)]
Tag = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(_storable), AfterValidator(_visible)]


class Retry(BaseModel):
    """How long to wait before an attempt is repeated; what is left open comes from the job's type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    base_s: float | None = Field(
        None, ge=0, le=MAX_DELAY_S, allow_inf_nan=False, description="Largest delay before the first retry."
    )
    factor: float | None = Field(
        None, ge=1, le=100, allow_inf_nan=False, description="Growth of the delay with each further retry."
    )
    cap_s: float | None = Field(
        None, ge=0, le=MAX_DELAY_S, allow_inf_nan=False, description="The delay never grows beyond this."
    )
    jitter: Literal["full", "none"] | None = Field(
        None, description="full: anywhere from 0 up to the delay; none: exactly the delay."
    )


class Submission(BaseModel):
    """A job to be submitted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[Label, AfterValidator(_visible)] = Field(
        description="What the job is called; runs of one name are compared."
    )
    type: JobType = Field(description="Which executor runs it.")
    payload: dict[str, Any] = Field(description="What the executor needs; its fields depend on the type.")
    lane: Lane = Field("normal", description="A credit in the order of the queue, not a wall.")
    queue: str = Field(
        DEFAULT_QUEUE, pattern=QUEUE_NAME, description="Workers may be told to serve only some queues."
    )
    tags: list[Tag] = Field(
        default_factory=list, max_length=MOST_TAGS, description="Labels of your own, to find jobs by."
    )
    concurrency_key: Label | None = Field(
        None,
        description="Jobs of an organisation that share it run one at a time, unless a limit says otherwise.",
    )
    run_at: AwareDatetime | None = Field(None, description="Not before this time (ISO 8601 with offset).")
    delay: float | None = Field(
        None,
        ge=0,
        le=LONGEST_DELAY_S,
        allow_inf_nan=False,
        strict=True,
        description="Not before so many seconds from now; or give run_at.",
    )
    max_retries: int | None = Field(
        None, ge=0, le=100, strict=True, description="Attempts after the first one."
    )
    retry: Retry | None = Field(None, description="The delays between attempts.")
    timeout_s: float | None = Field(
        None, gt=0, le=86_400, allow_inf_nan=False, description="Limit of one attempt."
    )
    soft_timeout_s: float | None = Field(
        None,
        gt=0,
        le=86_400,
        allow_inf_nan=False,
        description="After this the job is told to end; less than timeout_s, which kills it.",
    )
    memory_mb: int | None = Field(
        None, ge=16, le=1_048_576, strict=True, description="Limit of one attempt's memory in MiB."
    )
    cpu_s: float | None = Field(
        None, gt=0, le=86_400, allow_inf_nan=False, description="Limit of one attempt's CPU time in seconds."
    )
    idempotency_key: Label | None = Field(None, description="The same key again returns the first job.")

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

    @field_validator("tags")
    @classmethod
    def _different(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("expected tags that differ from each other")
        return value

    @field_validator("delay")
    @classmethod
    def _not_both(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("run_at") is not None:
            raise ValueError("expected either delay or run_at, not both")
        return value

    @field_validator("soft_timeout_s")
    @classmethod
    def _below_timeout(cls, value: float | None, info: ValidationInfo) -> float | None:
        limit = info.data.get("timeout_s") or (info.context or {}).get("timeout_s")
        if value is not None and limit is not None and value >= limit:
            raise ValueError(f"must be less than timeout_s, which is {limit:g}")
        return value

    def fingerprint(self) -> str:
        """SHA-256 over everything but the idempotency key: tells a repeated request from a different one."""
        body = self.model_dump(mode="json", exclude={"idempotency_key"}, exclude_defaults=True)
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


class SubmissionError(ValueError):
    """Some fields cannot be used: {dotted field: [what was expected]}."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__("; ".join(f"{name}: {' '.join(messages)}" for name, messages in fields.items()))
        self.fields = fields


def parse(values: object, *, timeout_s: float | None = None) -> Submission:
    """The checked submission; raises SubmissionError with the fields that are wrong, at most MOST_NAMED.

    What is no object at all is the field "". `timeout_s` is the limit of a job that names none: a soft one
    must stay below it.
    """
    if not isinstance(values, dict):
        raise SubmissionError({"": ["Expected a JSON object."]})
    wrong: dict[str, list[str]] = {}
    submission = None
    try:
        submission = Submission.model_validate(values, context={"timeout_s": timeout_s})
    except ValidationError as error:
        wrong = _fields_of(error)
    if not any(name == "type" or name.startswith("payload") for name in wrong):
        try:
            parse_payload(values["type"], values["payload"])
        except PayloadError as error:
            wrong |= error.fields
    if wrong or submission is None:
        raise SubmissionError(dict(islice(wrong.items(), MOST_NAMED)))
    return submission


def _fields_of(error: ValidationError) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for problem in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in problem["loc"])
        fields.setdefault(name, []).append(_sentence(problem))
    return fields


SENTENCES = {
    "missing": "This field is required.",
    "extra_forbidden": "Unknown field.",
    "dict_type": "Expected a JSON object.",
    "model_type": "Expected a JSON object.",
    "string_type": "Expected text.",
    "string_too_short": "Must not be empty.",
    "string_too_long": "Expected at most {max_length} characters.",
    "string_pattern_mismatch": "Expected 1 to 60 letters, digits, dots, hyphens and underscores.",
    "list_type": "Expected a list.",
    "too_long": "Expected at most {max_length} tags.",
    "int_type": "Expected a whole number.",
    "float_type": "Expected a number.",
    "float_parsing": "Expected a number.",
    "datetime_from_date_parsing": "Expected a time with an offset, such as 2030-01-31T08:00:00Z.",
    "datetime_parsing": "Expected a time with an offset, such as 2030-01-31T08:00:00Z.",
    "timezone_aware": "Expected a time with an offset, such as 2030-01-31T08:00:00Z.",
}


def _sentence(problem: ErrorDetails) -> str:
    if problem["type"] in SENTENCES:
        return SENTENCES[problem["type"]].format_map(problem.get("ctx", {}))
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return message[:1].upper() + message[1:] + "."
