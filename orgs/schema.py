"""What the OpenAPI schema says about logging in. Imported by OrgsConfig.ready."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
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
