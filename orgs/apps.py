"""Start-up of the orgs part."""

from __future__ import annotations

from django.apps import AppConfig


class OrgsConfig(AppConfig):
    name = "orgs"
    verbose_name = "Organisation"

    def ready(self) -> None:
        # drf-spectacular finds extensions by their class being defined.
        from django.contrib.auth.signals import user_logged_in, user_logged_out

        from orgs import audit_logins, schema  # noqa: F401
        from orgs.admission import note_login

        # By the name of Django's own receiver: that one is connected later, and then stays out.
        user_logged_in.connect(note_login, dispatch_uid="update_last_login")
        user_logged_in.connect(audit_logins.on_login)
        user_logged_out.connect(audit_logins.on_logout)
