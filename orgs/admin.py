"""Users and organisations in the Django admin.

An org admin sees its own organisation and members, and changes their role and whether they are active,
nothing else. A platform admin sees and does everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from orgs import audit, roles, weights
from orgs.admin_scoping import OrgRelatedFilter, OrgScopedAdmin, is_platform_admin
from orgs.admin_site import site
from orgs.models import AuditEntry, Organization, User
from orgs.scoping import scoped
from orgs.services import GRANTED_BY_ORG_ADMINS

_WRITTEN_BY_ORG_ADMINS = ("role", "is_active")


@admin.register(User, site=site)
class UserAdmin(OrgScopedAdmin, DjangoUserAdmin):
    change_needs = roles.MEMBERS_MANAGE

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "role", "org", "is_active", "last_login")
    list_select_related = ("org",)
    list_filter = ("role", "is_active", ("org", OrgRelatedFilter))
    search_fields = ("username", "email")
    ordering = ("username",)
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password", "email", "org", "role", "is_active")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "password1", "password2", "org", "role")}),)
    _fieldsets_of_org_admins = (
        (None, {"fields": ("username", "email", "org", "role", "is_active")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        may = super().has_change_permission(request, obj)
        return may and (is_platform_admin(request) or not _is_platform_admin(obj))

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
            kwargs["choices"] = [(role, roles.ROLES[role]) for role in GRANTED_BY_ORG_ADMINS]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """An org admin's edit is one guarded UPDATE: the user may have left since the form was read."""
        if is_platform_admin(request):
            super().save_model(request, obj, form, change)
            return _note(request, obj, form, change)
        written = {name: getattr(obj, name) for name in form.changed_data if name in _WRITTEN_BY_ORG_ADMINS}
        members = scoped(User.objects.exclude(role=roles.ADMIN), request.user).filter(pk=obj.pk)
        if not change or (written and members.update(**written) != 1):
            raise PermissionDenied
        return _note(request, obj, form, change)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """For platform admins: an org admin who sets a member's password could act as that member."""
        if not is_platform_admin(request):
            raise PermissionDenied
        with transaction.atomic():
            before = self.get_object(request, unquote(id))
            answer = super().user_change_password(request, id, form_url)
            _note_password(request, before)
        return answer


@admin.register(Organization, site=site)
class OrganizationAdmin(OrgScopedAdmin):
    list_display = ("name", "member_count", "weight", "created_at")
    search_fields = ("name",)
    ordering = ("name",)
    fields = ("name", "weight", "created_at")
    readonly_fields = ("created_at",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).annotate(_members=Count("members"))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "weight" in form.changed_data:
            assert isinstance(request.user, User)
            details = {"from": form.initial["weight"], "to": obj.weight}
            audit.record(org=obj, user=request.user, action="org.weight", target=obj.name, details=details)
            weights.changed()

    @admin.display(description="members", ordering="_members")
    def member_count(self, org: Any) -> int:
        return int(org._members)


@admin.register(AuditEntry, site=site)
class AuditEntryAdmin(OrgScopedAdmin):
    """To read only: entries are added by `orgs.audit`, and nobody changes them."""

    view_needs = roles.AUDIT_READ
    list_display = ("at", "who", "action", "target", "org")
    list_display_links = ("at", "action")
    list_select_related = ("org",)
    list_filter = (("org", OrgRelatedFilter),)
    search_fields = ("action", "target")
    fields = ("at", "who", "action", "target", "details", "org")
    readonly_fields = ("who",)
    ordering = ("-id",)
    show_full_result_count = False
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return audit.with_actors(super().get_queryset(request), request.user)

    def get_search_fields(self, request: HttpRequest) -> Sequence[str]:
        """By who it was for platform admins only: others would find the names that they are not shown."""
        found = super().get_search_fields(request)
        return (*found, "actor") if is_platform_admin(request) else found

    @admin.display(description="actor")
    def who(self, entry: AuditEntry) -> str:
        return str(getattr(entry, "shown_actor", ""))

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _note(request: HttpRequest, user: User, form: Any, change: bool) -> None:
    """Write into the audit log what `form`, whose transaction this is, has changed in `user`."""
    assert isinstance(request.user, User)
    about: dict[str, Any] = {"user": request.user, "target": user.username}
    if not change:
        audit.record(org=user.org, action="user.create", details={"role": user.role}, **about)
    for name in set(_WRITTEN_BY_ORG_ADMINS).intersection(form.changed_data) if change else ():
        details = {"from": form.initial[name], "to": getattr(user, name)}
        audit.record(org=user.org, action=f"user.{name}", details=details, **about)
    if change and "org" in form.changed_data:
        left = Organization.objects.filter(pk=form.initial["org"]).first()
        audit.record(org=left, action="user.leave", **about)
        audit.record(org=user.org, action="user.join", **about)


def _note_password(request: HttpRequest, before: User | None) -> None:
    assert isinstance(request.user, User)
    after = before and User.objects.filter(pk=before.pk).first()
    if before and after and before.password != after.password:
        audit.record(org=after.org, user=request.user, action="user.password", target=after.username)


def _is_platform_admin(obj: Model | None) -> bool:
    return isinstance(obj, User) and obj.is_platform_admin
