"""Model versions in the Django admin, for platform admins: to look at, and to put one in force again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from jobs.admin import PlatformAdmin
from orgs import roles
from orgs.admin_shown import moment
from orgs.admin_site import site
from orgs.exceptions import SmartQueueError
from orgs.models import User
from predictor import versions
from predictor.models import ModelVersion

_SHOWN_IN_LISTS = 4


@admin.register(ModelVersion, site=site)
class ModelVersionAdmin(PlatformAdmin):
    list_display = (
        "id",
        "kind",
        "origin",
        "active",
        "trained_on",
        "first_metrics",
        "made",
        "put_in_force_at",
        "parent",
    )
    list_filter = ("kind", "origin", "active")
    ordering = ("-id",)
    actions = ("put_in_force",)
    fields = (
        "kind",
        "origin",
        "active",
        "pinned",
        "made",
        "put_in_force_at",
        "parent",
        "trained_on",
        "window_start",
        "window_end",
        "all_metrics",
    )
    readonly_fields = ("all_metrics", "made", "put_in_force_at")
    empty_list = "No model has been trained yet."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        rows: QuerySet[ModelVersion] = super().get_queryset(request)
        return rows.select_related("parent").defer("weights", "parent__weights")

    @admin.display(description="made (UTC)", ordering="created_at")
    def made(self, version: ModelVersion) -> str:
        return moment(version.created_at)

    @admin.display(description="put in force (UTC)", ordering="activated_at")
    def put_in_force_at(self, version: ModelVersion) -> str:
        return moment(version.activated_at)

    @admin.display(description="metrics")
    def first_metrics(self, version: ModelVersion) -> str:
        return ", ".join(f"{name} {value}" for name, value in _metrics(version)[:_SHOWN_IN_LISTS])

    @admin.display(description="metrics")
    def all_metrics(self, version: ModelVersion) -> SafeString:
        return format_html_join("", "<div>{}: {}</div>", _metrics(version))

    def has_activate_permission(self, request: HttpRequest) -> bool:
        return self._may(request, roles.PLATFORM_ADMINISTER, None)

    @admin.action(description="Put in force", permissions=["activate"])
    def put_in_force(self, request: HttpRequest, queryset: QuerySet[ModelVersion]) -> None:
        assert isinstance(request.user, User)
        chosen = list(queryset[:2])
        if len(chosen) != 1:
            self.message_user(request, "Select the one version that shall be in force.", messages.WARNING)
            return
        [wanted] = chosen
        try:
            changed = versions.put_in_force(wanted, user=request.user)
        except SmartQueueError as error:
            self.message_user(request, f"{str(wanted).capitalize()}: {error.message}", messages.ERROR)
            return
        text = f"{str(wanted).capitalize()} is in force" + ("." if changed else " already.")
        self.message_user(request, text, messages.SUCCESS if changed else messages.INFO)


def _metrics(version: ModelVersion) -> list[tuple[str, str]]:
    metrics: Any = version.metrics
    return [(str(name), _shown(value)) for name, value in sorted(metrics.items())]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
