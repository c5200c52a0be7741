"""Start-up of the orgs part."""

from __future__ import annotations

from django.apps import AppConfig


class OrgsConfig(AppConfig):
    name = "orgs"
    verbose_name = "Organisation"

    def ready(self) -> None:
        # drf-spectacular finds extensions by their class being defined.
        from orgs import schema  # noqa: F401
