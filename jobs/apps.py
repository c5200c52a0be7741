"""Start-up of the jobs part."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class JobsConfig(AppConfig):
    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        from jobs import functions, limits
        from orgs import weights

        weights.when_changed(limits.weight_changed)
        try:
            functions.load(settings.FUNCTIONS)
        except functions.LoadError as error:
            raise ImproperlyConfigured(str(error)) from error
