"""What the OpenAPI schema says about submitting a job: one request body per job type.

Made from the pydantic models that check the input, so that the schema cannot say anything else.
"""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, PolymorphicProxySerializer
from pydantic import BaseModel, create_model
from pydantic.json_schema import model_json_schema

from jobs.payloads import PAYLOADS
from jobs.submission import Submission


class InputModelExtension(OpenApiSerializerExtension):
    """pydantic models as request bodies, by the names that callers write (`json`, not `json_body`)."""

    target_class = "pydantic.BaseModel"
    match_subclasses = True
    priority = 1

    def get_name(self, auto_schema: AutoSchema, direction: str) -> str:
        return str(self.target.__name__)

    def map_serializer(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        schema = model_json_schema(
            self.target, ref_template="#/components/schemas/{model}", mode="validation"
        )
        for name, part in schema.pop("$defs", {}).items():
            component = ResolvedComponent(name=name, type=ResolvedComponent.SCHEMA, object=name, schema=part)
            auto_schema.registry.register_on_missing(component)
        return schema


def _request_model(job_type: str, payload: type[BaseModel]) -> type[BaseModel]:
    """`Submission` with the type and the payload narrowed down to one job type."""
    known = Submission.model_fields
    narrowed: dict[str, Any] = {
        "type": (Literal[job_type], known["type"]),
        "payload": (payload, known["payload"]),
    }
    return create_model(
        f"{job_type.capitalize()}Job", __base__=Submission, __doc__=payload.__doc__, **narrowed
    )


_MODELS: dict[str, Any] = {name: _request_model(name, payload) for name, payload in PAYLOADS.items()}
SUBMISSION = PolymorphicProxySerializer(
    component_name="JobSubmission",
    serializers=_MODELS,
    resource_type_field_name="type",
)

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="In place of `idempotency_key`: the same key and body again answers 200 with the first job, the same "
    "key with another body 409. A key is forgotten after a time that the server sets, a day by default, but never "
    "before its job has ended.",
)

EXAMPLES = [
    OpenApiExample(
        title, value={"name": title, "type": job_type, "payload": payload}, request_only=True, summary=title
    )
    for title, job_type, payload in (
        (
            "health check",
            "http",
            {"url": "http://127.0.0.1:8000/healthz", "expect_status": 200},
        ),
        ("word count", "shell", {"command": "printf 'a b c' | wc -w"}),
        (
            "mean petal area",
            "etl",
            {
                "inputs": {"iris": {"dataset": "iris"}},
                "sql": "SELECT target, count(*) FROM iris GROUP BY target",
            },
        ),
        (
            "tell wines apart",
            "ml",
            {"dataset": "wine", "target": "target", "estimator": "RandomForestClassifier"},
        ),
        ("add two numbers", "python", {"function": "add", "args": [2, 3]}),
    )
]
