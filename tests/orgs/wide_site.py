"""An admin site that uses every feature which leaks by default: forms, filters, autocomplete, deletion."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import include, path

from jobs.models import ExecutionLog, Flow, Job
from orgs import roles
from orgs.admin import OrganizationAdmin, UserAdmin
from orgs.admin_scoping import OrgRelatedFilter, OrgScopedAdmin
from orgs.admin_site import SmartQueueAdminSite
from orgs.models import Organization, User
from smartqueue.errors import handler400, handler403, handler404, handler500

__all__ = ["handler400", "handler403", "handler404", "handler500"]

site = SmartQueueAdminSite()
site.register(User, UserAdmin)
site.register(Organization, OrganizationAdmin)


@admin.register(Job, site=site)
class WideJobAdmin(OrgScopedAdmin):
    view_needs = add_needs = change_needs = delete_needs = roles.JOBS_SUBMIT
    fields = ("name", "type", "payload", "status", "rank", "max_retries", "timeout_s", "user", "org")
    list_display = ("name", "user", "org")
    list_filter = ("name", "status", ("user", OrgRelatedFilter), ("org", OrgRelatedFilter))
    date_hierarchy = "created_at"
    ordering = ("-id",)
    search_fields = ("name", "user__username")

    def save_model(self, request: HttpRequest, obj: Job, form: Any, change: bool) -> None:
        if not change:
            org_id = obj.org_id or request.user.org_id
            obj.flow, _ = Flow.objects.get_or_create(org_id=org_id, queue="default", type=obj.type)
        super().save_model(request, obj, form, change)


@admin.register(ExecutionLog, site=site)
class WideExecutionAdmin(OrgScopedAdmin):
    view_needs = add_needs = change_needs = delete_needs = roles.JOBS_SUBMIT
    fields = ("job", "outcome")
    autocomplete_fields = ("job",)
    list_filter = (("job", OrgRelatedFilter),)


urlpatterns = [path("admin/", site.urls), path("", include("orgs.urls"))]
