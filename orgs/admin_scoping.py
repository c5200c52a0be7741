"""The Django admin behind the tenant filter: base classes for every ModelAdmin of the site.

Filtering `get_queryset` alone leaks: selects, list filters, lookups, labels of raw ids, delete
confirmations and histories read past it. Each method here closes one of these doors; options that
cannot be made safe are refused when the class is registered. Roles decide, never Django's permissions.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import RelatedFieldListFilter
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import NestedObjects
from django.core.exceptions import (
    BadRequest,
    FieldDoesNotExist,
    ImproperlyConfigured,
    PermissionDenied,
    ValidationError,
)
from django.core.paginator import Paginator
from django.db import models, router
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin

from orgs import roles, walls
from orgs.models import User
from orgs.scoping import org_field, owned_by_org_of, rows_for_user, scoped

_SAFE_LOOKUPS = frozenset(
    {"id", "pk", "exact", "isnull", "in", "gte", "gt", "lte", "lt", "year", "month", "day", "date"}
)


def is_platform_admin(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.is_platform_admin


def sees_all(request: HttpRequest) -> bool:
    """Whether rows of every organisation are shown: see `User.sees_all`."""
    return isinstance(request.user, User) and request.user.sees_all


class OrgRelatedFilter(RelatedFieldListFilter):
    """A list filter over a foreign key that offers the rows of the user's organisation only."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        visible = rows_for_user(field.remote_field.model, request.user).values("pk")
        ordering = self.field_admin_ordering(field, request, model_admin)
        choices: list[tuple[str, Any]] = field.get_choices(
            include_blank=False, ordering=ordering, limit_choices_to={"pk__in": visible}
        )
        return choices


class OrgScoped:
    """Rows, permissions and choices of fields. `*_needs` name actions of orgs.roles."""

    model: type[models.Model]
    opts: Any
    view_needs = roles.ORG_ADMINISTER
    add_needs = change_needs = delete_needs = roles.PLATFORM_ADMINISTER
    view_on_site: Any = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        _refuse_leaks(self)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        return scoped(super().get_queryset(request), request.user)  # type: ignore[misc]

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self._may(request, self.view_needs, obj)

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self._may(request, self.add_needs, obj)

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self._may(request, self.change_needs, obj)

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return self._may(request, self.delete_needs, obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self._may(request, self.view_needs, None)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = self._visible_targets(db_field, request, kwargs)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = self._visible_targets(db_field, request, kwargs)
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]

    def get_readonly_fields(self, request: HttpRequest, obj: models.Model | None = None) -> list[str]:
        """The organisation of a row is the user's own, and never a field that a member may write."""
        fields = list(super().get_readonly_fields(request, obj))  # type: ignore[misc]
        if org_field(self.model) == "org_id" and not is_platform_admin(request):
            fields.append("org")
        return fields

    def _may(self, request: HttpRequest, action: str, obj: models.Model | None) -> bool:
        user = request.user
        return isinstance(user, User) and user.may(action) and (obj is None or owned_by_org_of(user, obj))

    def _visible_targets(
        self, db_field: Any, request: HttpRequest, kwargs: dict[str, Any]
    ) -> models.QuerySet[Any]:
        rows = kwargs.get("queryset")
        if rows is None:
            rows = self.get_field_queryset(kwargs.get("using"), db_field, request)  # type: ignore[attr-defined]
        if rows is None:
            rows = db_field.remote_field.model._default_manager.all()
        return scoped(rows, request.user)


class OrgScopedAdmin(OrgScoped, ModelAdmin):
    """The base of every ModelAdmin of the site (orgs.admin_site takes no other)."""

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only what the page itself links to: a free lookup reads hidden columns letter by letter."""
        name, *rest = lookup.split("__")
        try:
            self.opts.get_field(name)
        except FieldDoesNotExist:
            return True  # A parameter of a filter class, or of nothing.
        filters = self.get_list_filter(request)
        offered = {item[0] if isinstance(item, list | tuple) else item for item in filters}
        return name in {*offered, self.date_hierarchy} and _SAFE_LOOKUPS.issuperset(rest)

    def response_action(
        self, request: HttpRequest, queryset: models.QuerySet[Any], *args: Any, **kwargs: Any
    ) -> HttpResponse | None:
        """Django hands the ids of the form to the database as they are."""
        for selected in request.POST.getlist(ACTION_CHECKBOX_NAME):
            if not _may_be_id(self.model, selected):
                raise BadRequest(f"{ACTION_CHECKBOX_NAME}: expected ids of {self.opts.verbose_name_plural}.")
        return super().response_action(request, queryset, *args, **kwargs)

    # The admin's own log hangs on who acts, whose row is out of reach for whoever sees as an organisation.
    @walls.everything()
    def log_addition(self, request: HttpRequest, *args: Any) -> Any:
        return super().log_addition(request, *args)

    @walls.everything()
    def log_change(self, request: HttpRequest, *args: Any) -> Any:
        return super().log_change(request, *args)

    @walls.everything()
    def log_deletions(self, request: HttpRequest, *args: Any) -> Any:
        return super().log_deletions(request, *args)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        user = request.user
        assert isinstance(user, User)
        if not change and org_field(self.model) == "org_id" and not user.is_platform_admin:
            obj.org_id = user.org_id
        if not owned_by_org_of(user, obj):
            raise PermissionDenied
        super().save_model(request, obj, form, change)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Django lists whatever a deletion would take along, whoever owns it; so look first."""
        if _all_visible(_deleted_with(objs), request):
            return super().get_deleted_objects(objs, request)
        return [], {}, {"rows that you may not see"}, []

    def get_paginator(
        self, request: HttpRequest, queryset: models.QuerySet[Any], *args: Any, **kwargs: Any
    ) -> Paginator[Any]:
        """The history of a row comes through here too; it shows what people did whom the user may see."""
        if queryset.model is LogEntry:
            queryset = queryset.filter(user__in=rows_for_user(User, request.user))
        return super().get_paginator(request, queryset, *args, **kwargs)


def _may_be_id(model: type[models.Model], text: str) -> bool:
    try:
        model._meta.pk.to_python(text)
    except ValidationError:
        return False
    return "\0" not in text


def _deleted_with(objs: Any) -> Iterable[models.Model]:
    if not objs:
        return []
    collector = NestedObjects(using=router.db_for_write(objs[0].__class__), origin=objs)
    collector.collect(objs)
    found = [row for rows in collector.model_objs.values() for row in rows]
    return [*found, *collector.protected]


def _all_visible(rows: Iterable[models.Model], request: HttpRequest) -> bool:
    user = request.user
    return isinstance(user, User) and all(owned_by_org_of(user, row) for row in rows)


def _refuse_leaks(admin: Any) -> None:
    """Raises ImproperlyConfigured for options that show rows of every organisation."""
    if admin.raw_id_fields:
        raise _leak(admin, "raw_id_fields", "label any row's id: use autocomplete_fields")
    for item in getattr(admin, "list_filter", ()):
        if isinstance(item, type):
            continue
        name, filter_class = item if isinstance(item, list | tuple) else (item, None)
        if "__" in name:
            raise _leak(admin, f"list_filter {name!r}", "offers every organisation's values")
        if admin.opts.get_field(name).is_relation and not _is_scoped_filter(filter_class):
            raise _leak(admin, f"list_filter {name!r}", f"offers every row: use ({name!r}, OrgRelatedFilter)")


def _is_scoped_filter(filter_class: Any) -> bool:
    return isinstance(filter_class, type) and issubclass(filter_class, OrgRelatedFilter)


def _leak(admin: Any, option: str, reason: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{type(admin).__name__}.{option}: {reason}.")
