"""Organisations in the Django admin: an org admin's own settings, and what the platform grants to each.

Everything is written by `orgs.life`; what follows from a suspension or a grant happens there.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from orgs import audit, life, roles, see_as
from orgs.admin_base import Question, ToldAdmin, actor, row_page
from orgs.admin_scoping import is_platform_admin, sees_all
from orgs.admin_shown import moment, state
from orgs.admin_site import site
from orgs.announcing import Grant
from orgs.models import Organization

_GRANTED = ("weight", "job_types", "granted_running", "granted_queued", "retention_days")


class OrganizationForm(forms.ModelForm):
    """Job types by their boxes; none ticked stands for the platform's own choice."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        if "job_types" in self.fields:
            self.fields["job_types"] = forms.MultipleChoiceField(
                choices=[(name, name) for name in site.job_types],
                required=False,
                widget=UnfoldAdminCheckboxSelectMultipleWidget,
                help_text="Which types of jobs it may submit; none ticked: those that the platform's settings allow.",
            )

    def clean_job_types(self) -> list[str] | None:
        return self.cleaned_data["job_types"] or None


@admin.register(Organization, site=site)
class OrganizationAdmin(ToldAdmin):
    change_needs = roles.ORG_MANAGE
    form = OrganizationForm
    list_display = ("name", "standing", "member_count", "weight", "most_running", "most_queued", "made")
    search_fields = ("name",)
    search_help_text = "Name"
    ordering = ("name",)
    list_per_page = 50
    list_fullwidth = True
    empty_value_display = "\N{EN DASH}"
    readonly_fields = ("standing", "made", "types_shown", "most_running", "most_queued", "kept_for")
    actions_detail = ("see_as", "suspend", "resume", "ask_deletion", "restore")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).annotate(_members=Count("members"))

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Members read what the platform grants; only platform admins have its fields."""
        granted = _GRANTED
        if not is_platform_admin(request):
            granted = ("weight", "types_shown", "most_running", "most_queued", "kept_for")
        first = ("name", "viewers_see_content", *(("standing", "made") if obj else ()))
        return ((None, {"fields": first}), ("Granted by the platform", {"fields": granted}))

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        fields = super().get_readonly_fields(request, obj)
        return fields if is_platform_admin(request) else [*fields, "weight"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Organisations go after a time in which it can be taken back, and with all they own: see `ask_deletion`."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            audit.record(org=obj, user=actor(request), action="org.create", target=obj.name)
            life.grants_changed(obj, before=Grant(None, None), weight_before=obj.weight)
            return
        values = {name: form.cleaned_data[name] for name in form.changed_data}
        if settings := {name: value for name, value in values.items() if name in life.SETTINGS}:
            life.change_settings(actor=actor(request), org=obj, **settings)
        if grants := {name: value for name, value in values.items() if name in life.GRANTS}:
            life.change_grants(actor=actor(request), org=obj, **grants)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        org = self.get_object(request, str(object_id))
        offered = _offered(request, org) if isinstance(org, Organization) else set()
        found = super().get_actions_detail(request, object_id)
        return [one for one in found if one.method.original_function_name in offered]

    @action(description="See as this organisation", icon="visibility")
    def see_as(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(org: Organization) -> str:
            see_as.start(request, org)
            return f"You see what {org.name} sees. What you do is still done as the platform admin."

        return row_page(self, request, object_id, _ask_see_as, do, needs=roles.PLATFORM_ADMINISTER)

    @action(description="Suspend", icon="block", variant=ActionVariant.DANGER)
    def suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(org: Organization) -> str:
            life.suspend(actor=actor(request), org=org, reason=request.POST.get("text", ""))
            return f"{org.name} is suspended."

        return row_page(self, request, object_id, _ask_suspend, do, needs=roles.PLATFORM_ADMINISTER)

    @action(description="Resume", icon="play_arrow")
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(org: Organization) -> str:
            life.resume(actor=actor(request), org=org)
            return f"{org.name} works again."

        return row_page(self, request, object_id, _ask_resume, do, needs=roles.PLATFORM_ADMINISTER)

    @action(description="Delete", icon="delete", variant=ActionVariant.DANGER)
    def ask_deletion(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(org: Organization) -> str:
            gone = life.ask_deletion(actor=actor(request), org=org, confirm=request.POST.get("text", ""))
            return f"{org.name} will be deleted at {moment(gone.delete_at)} UTC. Until then you can take that back."

        return row_page(self, request, object_id, _ask_deletion, do, needs=roles.ORG_MANAGE)

    @action(description="Take the deletion back", icon="undo")
    def restore(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(org: Organization) -> str:
            life.restore(actor=actor(request), org=org)
            return f"{org.name} stays."

        return row_page(self, request, object_id, _ask_restore, do, needs=roles.ORG_MANAGE)

    @admin.display(description="members", ordering="_members")
    def member_count(self, org: Any) -> str:
        return f"{org._members:,}"

    @admin.display(description="state")
    def standing(self, org: Organization) -> str:
        if org.suspended_at is not None:
            return state(f"suspended since {moment(org.suspended_at)}", "failed")
        if org.delete_at is not None:
            return state(f"to be deleted at {moment(org.delete_at)}", "failed")
        return state("open", "done")

    @admin.display(description="made (UTC)", ordering="created_at")
    def made(self, org: Organization) -> str:
        return moment(org.created_at)

    @admin.display(description="job types")
    def types_shown(self, org: Organization) -> str:
        return (
            "those that the platform allows everybody" if org.job_types is None else ", ".join(org.job_types)
        )

    @admin.display(description="jobs running, at most", ordering="granted_running")
    def most_running(self, org: Organization) -> str:
        return "any number" if org.granted_running is None else f"{org.granted_running:,}"

    @admin.display(description="jobs waiting, at most", ordering="granted_queued")
    def most_queued(self, org: Organization) -> str:
        return "any number" if org.granted_queued is None else f"{org.granted_queued:,}"

    @admin.display(description="ended jobs are kept for", ordering="retention_days")
    def kept_for(self, org: Organization) -> str:
        return (
            "as long as the platform keeps them"
            if org.retention_days is None
            else f"{org.retention_days} days"
        )

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        shown = list(super().get_list_display(request))
        return shown if sees_all(request) else [name for name in shown if name != "weight"]


def _offered(request: HttpRequest, org: Organization) -> set[str]:
    """What can be done to an organisation as it stands, by this person."""
    user, offered = actor(request), set[str]()
    if user.may(roles.PLATFORM_ADMINISTER):
        offered |= {"resume" if org.suspended_at else "suspend"}
        offered |= set() if user.seen_as_org_id == org.pk else {"see_as"}
    if user.may(roles.ORG_MANAGE):
        offered |= {"restore" if org.delete_at else "ask_deletion"}
    return offered


def _ask_see_as(org: Organization) -> Question:
    text = (
        "Lists, figures and pages show what its members see, here and on the dashboard, until you stop or log out. "
        "What you do meanwhile is done as the platform admin, and its audit log notes that you looked."
    )
    return Question(f"See as {org.name}", text, "See as this organisation")


def _ask_suspend(org: Organization) -> Question:
    text = "Its members can no longer log in or use the API, and its queued jobs wait. Jobs that run go on."
    return Question(f"Suspend {org.name}", text, "Suspend", danger=True, asks_for="Reason, for the audit log")


def _ask_resume(org: Organization) -> Question:
    return Question(f"Resume {org.name}", "Its members come in again, and its queued jobs run.", "Resume")


def _ask_deletion(org: Organization) -> Question:
    text = (
        "Its jobs stop being started at once. After the time of grace its jobs, keys and invitations are deleted for "
        "good; its members stay, without an organisation."
    )
    return Question(f"Delete {org.name}", text, "Delete", danger=True, asks_for="Type its name to confirm")


def _ask_restore(org: Organization) -> Question:
    return Question(
        f"Keep {org.name}", "It is not deleted, and its queued jobs run again.", "Take the deletion back"
    )
