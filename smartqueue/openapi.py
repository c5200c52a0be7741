"""The OpenAPI document at /schema and its explorer at /docs, which loads nothing from other sites."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from drf_spectacular.plumbing import get_lib_doc_excludes
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer2
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from orgs.scoping import OrgAPIMixin

MEANING = {
    200: "OK.",
    201: "Created.",
    400: "Something in the request cannot be used; `fields` says what.",
    401: "No access token, or one that is not valid (any more).",
    403: "Your role does not allow this.",
    404: "There is nothing here, or nothing that you may see.",
    409: "This contradicts what is there already.",
    413: "The body is too large: the limit is 2 MiB, for POST /jobs/bulk 16 MiB.",
    415: "The body must be application/json.",
    429: "Too many requests: wait as long as Retry-After says.",
    503: "The database cannot be reached: try again as Retry-After says.",
}


class SchemaView(SpectacularAPIView):
    """JSON; YAML with `Accept: application/yaml` or `?format=yaml`."""

    authentication_classes = ()
    renderer_classes = [OpenApiJsonRenderer2, OpenApiYamlRenderer2]


class ExplorerView(SpectacularSwaggerSplitView):
    """Swagger UI out of the sidecar package; its script is apart from the page, so a strict CSP passes it."""

    authentication_classes = ()


def classes_without_docs() -> list[type]:
    """Classes whose docstrings are for programmers and describe no endpoint."""
    return [*get_lib_doc_excludes(), OrgAPIMixin]


def describe_responses(result: dict[str, Any], **context: Any) -> dict[str, Any]:
    """A postprocessing hook: say in words what each status means."""
    for operations in result["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                meaning = MEANING.get(int(status), HTTPStatus(int(status)).phrase)
                response["description"] = response.get("description") or meaning
    return result


def let_null_be_anything(result: dict[str, Any], **context: Any) -> dict[str, Any]:
    """A postprocessing hook: what may be anything may be null, which then fits only one of the two schemas."""
    for component in result.get("components", {}).get("schemas", {}).values():
        for field in component.get("properties", {}).values():
            if field.get("oneOf") == [{}, {"type": "null"}]:
                del field["oneOf"]
    return result
