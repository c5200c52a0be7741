"""The OpenAPI schema of accounts and organisations says what the views do."""

from __future__ import annotations

from typing import Any

import pytest
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

from orgs.urls import urlpatterns

# One method of each path.
PATHS = {
    "/auth/register": "post", "/auth/login": "post", "/auth/refresh": "post", "/auth/logout": "post",
    "/auth/users": "get", "/orgs/": "post", "/orgs/me": "get", "/orgs/me/restore": "post", "/orgs/me/leave": "post",
    "/orgs/me/hand-over": "post", "/orgs/me/members": "get", "/orgs/me/members/{user_id}": "patch",
    "/orgs/me/invitations": "post", "/orgs/me/invitations/{invitation_id}": "delete", "/invitations/accept": "post",
    "/orgs/me/audit": "get", "/orgs/me/keys": "post", "/orgs/me/keys/{key_id}": "delete",
    "/orgs/{org_id}": "get", "/orgs/{org_id}/suspend": "post", "/orgs/{org_id}/resume": "post",
    "/orgs/{org_id}/invite": "post",
}  # fmt: skip


@pytest.fixture(scope="module")
def schema() -> Any:
    GENERATOR_STATS.reset()
    made = SchemaGenerator(patterns=urlpatterns).get_schema(public=True)
    assert not GENERATOR_STATS, "drf-spectacular had to guess"
    return made


def test_it_is_valid_and_has_every_path(schema: Any) -> None:
    validate_schema(schema)
    assert set(schema["paths"]) == set(PATHS)


@pytest.mark.parametrize(("path", "method"), PATHS.items())
def test_every_error_has_the_one_shape(schema: Any, path: str, method: str) -> None:
    responses = schema["paths"][path][method]["responses"]
    errors = {status: answer for status, answer in responses.items() if status >= "400"}
    assert "503" in errors
    for answer in errors.values():
        content = answer["content"]["application/json"]["schema"]
        assert content == {"$ref": "#/components/schemas/Error"}


def test_bearer_tokens_and_sessions_are_named(schema: Any) -> None:
    schemes = schema["components"]["securitySchemes"]
    assert (schemes["bearerAuth"]["type"], schemes["bearerAuth"]["scheme"]) == ("http", "bearer")
    assert {"bearerAuth": []} in schema["paths"]["/orgs/me"]["get"]["security"]
    assert schema["paths"]["/auth/login"]["post"].get("security", [{}]) == [{}]
