"""What the OpenAPI schema says about logging in and about strict bodies. Imported by OrgsConfig.ready."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema


class JWTAuthenticationExtension(OpenApiAuthenticationExtension):
    target_class = "orgs.authentication.JWTAuthentication"
    name = "bearerAuth"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The access_token that POST /auth/login or POST /auth/refresh answers, or an API key.",
        }


class StrictSerializerExtension(OpenApiSerializerExtension):
    """Bodies of these hold no other fields than those named."""

    target_class = "orgs.serializers.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: str) -> dict[str, Any]:
        named = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {**named, "additionalProperties": False}
