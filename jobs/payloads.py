"""What the payload of each job type may hold: one pydantic model per type, and `parse_payload`.

Every door (API, pages, Python, command line) checks with `parse_payload` before anything is stored, and
the executors read their payload through the same models. The OpenAPI schema is made from the
descriptions here. Pure: no Django, no input or output.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from jobs import functions, payload_rules
from jobs.executors import jsonvalue

JOB_TYPES = ("http", "shell", "etl", "ml", "python")
MAX_PAYLOAD_BYTES = jsonvalue.MAX_BYTES

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
Format = Literal["json", "csv", "parquet"]
Dataset = Literal["iris", "wine", "breast_cancer", "diabetes", "digits", "linnerud"]
Classifier = Literal[
    "DecisionTreeClassifier",
    "ExtraTreesClassifier",
    "GaussianNB",
    "GradientBoostingClassifier",
    "HistGradientBoostingClassifier",
    "KNeighborsClassifier",
    "LogisticRegression",
    "MLPClassifier",
    "RandomForestClassifier",
    "SVC",
]
Regressor = Literal[
    "DecisionTreeRegressor",
    "ElasticNet",
    "ExtraTreesRegressor",
    "GradientBoostingRegressor",
    "HistGradientBoostingRegressor",
    "KNeighborsRegressor",
    "Lasso",
    "LinearRegression",
    "MLPRegressor",
    "RandomForestRegressor",
    "Ridge",
    "SVR",
]
Estimator = Literal[Classifier, Regressor]

Url = Annotated[str, Field(max_length=8000), AfterValidator(payload_rules.url)]
Headers = Annotated[dict[str, str], AfterValidator(payload_rules.headers)]
StatusCodes = Annotated[int | list[int], BeforeValidator(payload_rules.status_codes)]
Command = Annotated[str, AfterValidator(payload_rules.command)]
Text = Annotated[str, AfterValidator(payload_rules.not_blank)]
Rows = Annotated[list[dict[str, Any]], AfterValidator(payload_rules.rows)]
TableName = Annotated[str, AfterValidator(payload_rules.table_name)]
FunctionName = Annotated[str, AfterValidator(payload_rules.registered_function)]


class PayloadError(ValueError):
    """A payload that cannot be used. `fields` says what was expected where: {"payload.url": ["..."]}."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__("; ".join(f"{path}: {' '.join(messages)}" for path, messages in fields.items()))
        self.fields = fields


class Payload(BaseModel):
    """Shared by all: unknown fields and values of another type are errors; nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class HttpPayload(Payload):
    """One HTTP request. Redirects are not followed; the first 64 KiB of the answer are kept."""

    url: Url = Field(description="Where the request goes: http or https.")
    method: Method = Field("GET", description="The method of the request.")
    headers: Headers = Field(
        default_factory=dict,
        description="Headers to send. Idempotency-Key, the same for every attempt, is added unless given.",
    )
    json_body: Any = Field(None, alias="json", description="A JSON value to send as the body; or give body.")
    body: str | None = Field(None, description="Text to send as the body, in UTF-8; or give json.")
    timeout_s: float = Field(
        30.0, gt=0, le=3600, allow_inf_nan=False, description="Seconds to wait for the answer, at most 3600."
    )
    expect_status: StatusCodes | None = Field(
        None, description="The status code, or codes, that count as success; without it 200 to 299 do."
    )

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if {"json_body", "body"} <= self.model_fields_set:
            raise payload_rules.wrong("Expected either json or body, not both.")
        return self

    def expects(self, status: int) -> bool:
        """Whether an answer with this status code is a success."""
        if self.expect_status is None:
            return 200 <= status <= 299
        return status == self.expect_status or (
            isinstance(self.expect_status, list) and status in self.expect_status
        )


class ShellPayload(Payload):
    """A command run by `/bin/sh -c` in an empty working folder, with a clean environment."""

    command: Command = Field(description="The command; exit code 0 is success.")


class Source(Payload):
    """Where rows come from: exactly one of rows, dataset and url."""

    rows: Rows | None = Field(None, description="The rows themselves: a list of objects, {column: value}.")
    dataset: Dataset | None = Field(None, description="A real data set that ships with SmartQueue.")
    url: Url | None = Field(
        None, description="A file in CSV, JSON, newline-delimited JSON or Parquet, up to 64 MiB."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if [self.rows, self.dataset, self.url].count(None) != 2:
            raise payload_rules.wrong("Expected exactly one of rows, dataset and url.")
        return self


class EtlOutput(Payload):
    """How the rows come back."""

    format: Format = Field("json", description="json: columns and rows; csv: text; parquet: base64.")


class EtlPayload(Payload):
    """A DuckDB SQL pipeline over the inputs, which are its tables. The SQL reads no files and no network."""

    inputs: Annotated[dict[TableName, Source], AfterValidator(payload_rules.table_names_differ)] = Field(
        description="The tables, by name (an SQL identifier)."
    )
    sql: Text = Field(
        description="One or more statements; the last one must be a query: its rows are the result."
    )
    output: EtlOutput = Field(
        default_factory=EtlOutput, description="The form of the result; JSON without it."
    )


class MlPayload(Payload):
    """Train a scikit-learn model on one part of the rows and score it on the rest."""

    dataset: Dataset | None = Field(
        None, description="A real data set that ships with SmartQueue; or give inputs."
    )
    inputs: dict[TableName, Source] | None = Field(
        None, description="One table, as for etl ({name: {rows, dataset or url}}), or only what is inside."
    )
    target: Text = Field(description="The column to predict; most data sets call theirs target.")
    estimator: Estimator = Field(description="The scikit-learn estimator.")
    params: dict[str, Any] = Field(default_factory=dict, description="Parameters of the estimator.")
    test_size: float = Field(
        0.25, gt=0, lt=1, allow_inf_nan=False, description="The share of rows kept for the scores."
    )

    @field_validator("inputs", mode="before")
    @classmethod
    def _name_the_only_table(cls, inputs: Any) -> Any:
        unnamed = isinstance(inputs, dict) and not any(isinstance(value, dict) for value in inputs.values())
        return {"data": inputs} if unnamed else inputs

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.dataset is None) == (self.inputs is None):
            raise payload_rules.wrong("Expected exactly one of dataset and inputs.")
        if self.inputs is not None and len(self.inputs) != 1:
            raise payload_rules.wrong("Expected exactly one table in inputs.")
        return self

    @property
    def source(self) -> Source:
        """Where the rows come from."""
        return Source(dataset=self.dataset) if self.inputs is None else next(iter(self.inputs.values()))


class PythonPayload(Payload):
    """A call of a registered Python function; its return value, a JSON value, is the result."""

    function: FunctionName = Field(description="The name that the function is registered under.")
    args: list[Any] = Field(default_factory=list, description="Positional arguments.")
    kwargs: dict[str, Any] = Field(default_factory=dict, description="Named arguments.")

    @model_validator(mode="after")
    def _callable(self) -> Self:
        try:
            functions.check_arguments(self.function, self.args, self.kwargs)
        except TypeError as error:
            raise payload_rules.wrong(str(error)) from None
        return self


PAYLOADS: dict[str, type[BaseModel]] = {
    "http": HttpPayload,
    "shell": ShellPayload,
    "etl": EtlPayload,
    "ml": MlPayload,
    "python": PythonPayload,
}


def parse_payload(type: str, payload: object) -> BaseModel:
    """The checked payload of a job of this type; raises PayloadError naming every field that is wrong."""
    model = PAYLOADS.get(type) if isinstance(type, str) else None
    if model is None:
        raise PayloadError({"type": [f"Expected one of {', '.join(JOB_TYPES)}."]})
    if not isinstance(payload, dict):
        raise PayloadError({"payload": ["Expected a JSON object."]})
    try:
        jsonvalue.check(payload)
        return model.model_validate(payload)
    except jsonvalue.Unstorable as problem:
        raise PayloadError({_dotted(problem.path): [str(problem)]}) from None
    except ValidationError as error:
        raise PayloadError(_messages(error, payload)) from None


def _messages(error: ValidationError, payload: dict[str, Any]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False):
        messages = fields.setdefault(_dotted(_location(detail, payload)), [])
        message = _sentence(detail)
        if message not in messages:
            messages.append(message)
    return fields


def _location(detail: ErrorDetails, payload: Any) -> jsonvalue.Path:
    """Where in the payload it is: pydantic's location without the names of unions and of its own wrappers."""
    path: list[str | int] = []
    for part in detail["loc"]:
        if _holds(payload, part):
            path.append(part)
            payload = payload[part]
        elif detail["type"] == "missing":
            path.append(part)
    return tuple(path)


def _holds(value: Any, part: str | int) -> bool:
    return part in value if isinstance(value, dict) else isinstance(value, list) and isinstance(part, int)


def _dotted(path: jsonvalue.Path) -> str:
    return ".".join(["payload", *(str(part)[:60] for part in path)])


_SENTENCES = {
    "missing": "This field is required.",
    "extra_forbidden": "Unknown field.",
    "string_type": "Expected text.",
    "float_type": "Expected a number.",
    "list_type": "Expected a list.",
    "dict_type": "Expected a JSON object.",
    "model_type": "Expected a JSON object.",
}


def _sentence(detail: ErrorDetails) -> str:
    known = _SENTENCES.get(detail["type"])
    if known is not None:
        return known
    message = detail["msg"]
    for theirs, ours in (
        ("Input should be greater", "Expected a number greater"),
        ("Input should be less", "Expected a number less"),
        ("Input should be", "Expected"),
        ("String should have", "Expected text of"),
    ):
        message = message.replace(theirs, ours)
    return message if message.endswith(".") else f"{message}."
