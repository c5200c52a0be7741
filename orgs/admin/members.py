"""Users in the Django admin. Org admins change the role and activity of members; platform admins do everything."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from orgs import audit, memberships, refresh, roles
from orgs.admin_base import Question, ToldAdmin, actor, ask, chosen, do_each, is_confirmed, named
from orgs.admin_scoping import OrgRelatedFilter, is_platform_admin, sees_all
from orgs.admin_shown import moment, state
from orgs.admin_site import site
from orgs.exceptions import SmartQueueError
from orgs.models import User
from orgs.scoping import owned_by_org_of
from orgs.wording import role_name

_WRITTEN_BY_ORG_ADMINS = ("role", "is_active")


@admin.register(User, site=site)
class UserAdmin(ToldAdmin, DjangoUserAdmin):
    change_needs = roles.MEMBERS_MANAGE

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "role_shown", "active", "org", "email", "last_login_shown", "joined")
    list_select_related = ("org",)
    list_filter = ("role", "is_active", ("org", OrgRelatedFilter))
    list_per_page = 50
    list_fullwidth = True
    search_fields = ("username", "email")
    search_help_text = "Username or e-mail address"
    empty_value_display = "\N{EN DASH}"
    empty_list = "Nobody matches."
    ordering = ("username",)
    actions = ("remove_selected",)
    filter_horizontal = ()
    readonly_fields = ("last_login_shown", "joined")
    fieldsets = (
        (None, {"fields": ("username", "password", "email", "org", "role", "is_active")}),
        ("Dates", {"fields": ("last_login_shown", "joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2", "org", "role")}),)
    _fieldsets_of_org_admins = (
        (None, {"fields": ("username", "email", "org", "role", "is_active")}),
        ("Dates", {"fields": ("last_login_shown", "joined")}),
    )

    @admin.display(description="role", ordering="role")
    def role_shown(self, user: User) -> str:
        return role_name("platform admin" if user.is_platform_admin else user.role)

    @admin.display(description="may log in", ordering="is_active")
    def active(self, user: User) -> str:
        return state("active" if user.is_active else "deactivated", "done" if user.is_active else "cancelled")

    @admin.display(description="last login (UTC)", ordering="last_login")
    def last_login_shown(self, user: User) -> str:
        return "never" if user.last_login is None else moment(user.last_login)

    @admin.display(description="account made (UTC)", ordering="date_joined")
    def joined(self, user: User) -> str:
        return moment(user.date_joined)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        may = super().has_change_permission(request, obj)
        return may and (is_platform_admin(request) or not _is_platform_admin(obj))

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        shown = list(super().get_list_display(request))
        return shown if sees_all(request) else [name for name in shown if name != "org"]

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if is_platform_admin(request):
            return super().get_fieldsets(request, obj)
        return self._fieldsets_of_org_admins

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        fields = super().get_readonly_fields(request, obj)
        if not is_platform_admin(request):
            fields += ["username", "email"]
        if obj is not None and obj.pk == request.user.pk:
            fields += _WRITTEN_BY_ORG_ADMINS  # Nobody locks themselves out.
        return fields

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "role" and not is_platform_admin(request):
            kwargs["choices"] = [(role, roles.ROLES[role]) for role in roles.GRANTED_BY_ORG_ADMINS]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """An org admin's edit goes through the services: the user may have left since the form was read."""
        if not is_platform_admin(request):
            return _save_member(actor(request), obj, form, change)
        if change:
            return _place(actor(request), obj, form)
        super().save_model(request, obj, form, change)
        details = {"role": obj.role}
        audit.record(
            org=obj.org, user=actor(request), action="user.create", target=obj.username, details=details
        )
        return None

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        memberships.guard_last_admin(obj)
        memberships.end_access(obj, by=actor(request))
        super().delete_model(request, obj)
        audit.record(org=obj.org, user=actor(request), action="user.delete", target=obj.username)

    def get_actions(self, request: HttpRequest) -> Any:
        """Users are deleted one by one: each is looked at, and noted."""
        found = super().get_actions(request)
        found.pop("delete_selected", None)
        return found

    def has_manage_permission(self, request: HttpRequest) -> bool:
        return self._may(request, roles.MEMBERS_MANAGE, None)

    @admin.action(description="Remove from the organisation", permissions=["manage"])
    def remove_selected(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        user = actor(request)
        members, more = chosen(queryset.exclude(org=None))
        if not is_confirmed(request):
            notes = [f"{more:,} more are left: select them again afterwards."] if more else []
            if not members:
                notes.append("None of them belongs to an organisation.")
            question = Question(
                "Remove members",
                "They see nothing of the organisation any more, and their API keys end. Their jobs stay.",
                "Remove",
                danger=True,
                ids=[member.pk for member in members],
                named=named(members),
                notes=notes,
            )
            return ask(self, request, question)
        do_each(
            self,
            request,
            members,
            lambda member: memberships.remove(actor=user, member=member),
            "{} removed from the organisation.",
        )
        return None

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """For platform admins: an org admin who sets a member's password could act as that member."""
        if not is_platform_admin(request):
            raise PermissionDenied
        with transaction.atomic():
            before = self.get_object(request, unquote(id))
            answer = super().user_change_password(request, id, form_url)
            _note_password(request, before)
        return answer


def _save_member(by: User, member: User, form: Any, change: bool) -> None:
    written = [name for name in form.changed_data if name in _WRITTEN_BY_ORG_ADMINS]
    if not change:
        raise PermissionDenied
    try:
        if "role" in written:
            memberships.change_role(actor=by, member=member, role=member.role)
        if "is_active" in written:
            memberships.set_active(actor=by, member=member, active=member.is_active)
    except memberships.LastOrgAdmin:
        raise
    except SmartQueueError:  # Not a member any more, or a platform admin by now.
        raise PermissionDenied from None


def _place(by: User, user: User, form: Any) -> None:
    """Writes what was changed and nothing else: the rest may be another since the form was read."""
    if not owned_by_org_of(by, user):
        raise PermissionDenied
    written = set(form.changed_data) & {"org", *_WRITTEN_BY_ORG_ADMINS}
    if written:
        now = User.objects.select_related("org").get(pk=user.pk)
        org, role, active = (
            getattr(user if field in written else now, field) for field in ("org", "role", "is_active")
        )
        memberships.place(actor=by, member=user, org=org, role=role, active=active)
    if others := set(form.changed_data) & {"username", "email"}:
        user.save(update_fields=sorted(others))


def _note_password(request: HttpRequest, before: User | None) -> None:
    after = before and User.objects.filter(pk=before.pk).first()
    if before and after and before.password != after.password:
        refresh.end_all(after)
        audit.record(org=after.org, user=actor(request), action="user.password", target=after.username)


def _is_platform_admin(obj: Model | None) -> bool:
    return isinstance(obj, User) and obj.is_platform_admin
