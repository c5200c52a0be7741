"""Start-up of the jobs part."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class JobsConfig(AppConfig):
    name = "jobs"
    verbose_name = "Jobs"

    def ready(self) -> None:
        from jobs import functions, granting, holding, limits
        from orgs import announcing, weights

        weights.when_changed(limits.weight_changed)
        announcing.standing_changed.when_made(holding.hold)
        announcing.grant_changed.when_made(granting.keep_within)
        try:
            functions.load(settings.FUNCTIONS)
        except functions.LoadError as error:
            raise ImproperlyConfigured(str(error)) from error
