"""The audit log in the Django admin: to read, to filter and to search, never to change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin import DateFieldListFilter, SimpleListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orgs import audit, roles
from orgs.admin_base import ReadOnlyAdmin
from orgs.admin_scoping import OrgRelatedFilter, sees_all
from orgs.admin_shown import moment
from orgs.admin_site import site
from orgs.models import AuditEntry, User
from orgs.scoping import rows_for_user

MOST_OFFERED = 200
MOST_LOOKED_AT = 5_000


class ActionFilter(SimpleListFilter):
    """The actions that there are entries of, in what the user may see."""

    title = "action"
    parameter_name = "did"  # no column's name: those are looked at as free lookups first

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in actions_in_sight(request.user)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(action=self.value()) if self.value() else queryset


class ActorFilter(SimpleListFilter):
    """The members that the user may know; what others did is nobody's here."""

    title = "actor"
    parameter_name = "by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        people = rows_for_user(User, request.user).order_by("username")
        return [(str(pk), name) for pk, name in people.values_list("pk", "username")[:MOST_OFFERED]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value():
            return queryset
        text = str(self.value())
        known = rows_for_user(User, request.user)
        return queryset.filter(
            user__in=known.filter(pk=int(text)) if text.isdecimal() and len(text) < 19 else []
        )


@admin.register(AuditEntry, site=site)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Entries are added by `orgs.audit`, and nobody changes them."""

    view_needs = roles.AUDIT_READ
    list_display = ("when", "who", "action", "target", "changed", "address", "request_id", "org")
    list_display_links = ("when", "action")
    list_select_related = ("org",)
    list_filter = (ActionFilter, ActorFilter, ("at", DateFieldListFilter), ("org", OrgRelatedFilter))
    search_fields = ("action", "target", "request_id")
    search_help_text = "Action, target or request id"
    fields = (
        "when", "who", "action", "target", "pretty_details", "address", "key", "request_id", "org", "seq", "hash",
        "prev_hash",
    )  # fmt: skip
    readonly_fields = ("when", "who", "changed", "address", "key", "pretty_details")
    ordering = ("-id",)
    empty_list = (
        "Nothing has been noted yet. What people do here is: logins, roles, keys, limits, pauses, cancels."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return audit.with_actors(super().get_queryset(request), request.user)

    def get_search_fields(self, request: HttpRequest) -> Sequence[str]:
        """By who it was for whoever sees all only: others would find the names that they are not shown."""
        found = super().get_search_fields(request)
        return (*found, "actor") if sees_all(request) else found

    @admin.display(description="at (UTC)", ordering="id")
    def when(self, entry: AuditEntry) -> str:
        return moment(entry.at)

    @admin.display(description="actor")
    def who(self, entry: AuditEntry) -> str:
        return str(getattr(entry, "shown_actor", ""))

    @admin.display(description="details")
    def changed(self, entry: AuditEntry) -> str:
        """What it was and what it became, where the entry says so."""
        details = entry.details
        if "to" not in details:
            return ""
        return f"{_short(details.get('from'))} \N{RIGHTWARDS ARROW} {_short(details['to'])}"

    @admin.display(description="address")
    def address(self, entry: AuditEntry) -> str | None:
        return getattr(entry, "shown_ip", None)

    @admin.display(description="API key")
    def key(self, entry: AuditEntry) -> str | None:
        number = getattr(entry, "shown_key_id", None)
        return None if number is None else f"key {number}"

    @admin.display(description="details")
    def pretty_details(self, entry: AuditEntry) -> SafeString:
        text = json.dumps(entry.details, indent=2, ensure_ascii=False, sort_keys=True)
        return format_html('<pre class="sq-json">{}</pre>', text)


def actions_in_sight(user: Any) -> list[str]:
    """The actions of the newest entries: reading all of a long log for a list of names would take seconds."""
    newest = rows_for_user(AuditEntry, user).order_by("-id").values("action")[:MOST_LOOKED_AT]
    return sorted({row["action"] for row in newest})[:MOST_OFFERED]


def _short(value: Any) -> str:
    text = str(value) if isinstance(value, str | int | float | bool) or value is None else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:39]}\N{HORIZONTAL ELLIPSIS}"
