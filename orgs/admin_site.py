"""The site under /admin/. Org admins and platform admins come in by their role; `is_staff` means nothing.

Every ModelAdmin registers here, with `@admin.register(Model, site=site)`, and must be an OrgScopedAdmin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ImproperlyConfigured, PermissionDenied, ValidationError
from django.core.paginator import InvalidPage
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, path
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from orgs import audit, refresh, roles, see_as, walls
from orgs.admin_scoping import OrgScopedAdmin, sees_all
from orgs.exceptions import Forbidden
from orgs.limits import count_request
from orgs.models import User
from orgs.scoping import seen_org


def may_enter(user: AbstractBaseUser | AnonymousUser) -> bool:
    return isinstance(user, User) and user.may(roles.ORG_ADMINISTER)


class AdminLoginForm(AuthenticationForm):
    """Tells somebody whose role may not enter the same as somebody with a wrong password."""

    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "Enter the username and password of an org admin. Both are case-sensitive.",
    }

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        if not may_enter(user):
            raise ValidationError(self.error_messages["invalid_login"], code="invalid_login")


@dataclass(frozen=True)
class Figure:
    """One number of the first page: `value` in words, `link` to where its rows are."""

    label: str
    value: str
    link: str = ""


View = Callable[[HttpRequest], HttpResponse]


class SmartQueueAdminSite(UnfoldAdminSite):
    """Parts above bring their own: `add_page` a page of no model, `add_figures` numbers, `job_types` their names."""

    login_form = AdminLoginForm
    index_title = "Overview"
    job_types: tuple[str, ...] = ()

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._pages: dict[str, View] = {}
        self._figures: list[Callable[[User], list[Figure]]] = []

    def add_page(self, name: str, view: View) -> None:
        """A page at /admin/NAME/, called "admin:NAME"; `view` asks for the role itself."""
        self._pages[name] = view

    def add_figures(self, load: Callable[[User], list[Figure]]) -> None:
        """Numbers for the first page, of what the user sees."""
        self._figures.append(load)

    def extra_urls(self) -> list[URLPattern]:
        return [path(f"{name}/", self.admin_view(view), name=name) for name, view in self._pages.items()]

    def extra_context(self, context: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
        return {**context, "see_as": see_as.seen_as(request.user)}

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        user = request.user
        assert isinstance(user, User)
        figures = [figure for load in self._figures for figure in load(user)]
        return super().index(request, {**(extra_context or {}), "figures": figures, "of": seen_org(user)})

    def has_permission(self, request: HttpRequest) -> bool:
        return may_enter(request.user)

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        if not (isinstance(admin_class, type) and issubclass(admin_class, OrgScopedAdmin)):
            raise ImproperlyConfigured(
                f"{admin_class!r}: expected an OrgScopedAdmin for {model_or_iterable!r}."
            )
        super().register(model_or_iterable, admin_class, **options)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """Without /admin/r/, which leads to any row's page and asks no ModelAdmin."""
        return [url for url in super().get_urls() if getattr(url, "name", None) != "view_on_site"]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST":
            count_request(request, group="auth.login", rate=settings.RATE_LOGIN)
        elif request.user.is_authenticated and not self.has_permission(request):
            raise Forbidden(
                "Your role has no access to the administration. To come in as somebody else, log out first."
            )
        return super().login(request, extra_context)

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Of one's own, noted in the audit log."""
        user = request.user
        assert isinstance(user, User)
        before = user.password
        # Their own row is out of reach for whoever belongs to no organisation, or sees as one.
        with walls.everything(), transaction.atomic():
            answer = super().password_change(request, extra_context)
            if user.password != before:
                refresh.end_all(user)
                audit.record(org=user.org, user=user, action="user.password", target=user.username)
        return answer

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            return super().search(request, extra_context)
        except (ValueError, InvalidPage):
            raise Http404 from None  # ?page= is not one of the pages.

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        """Django answers for any relation that is named; here only for those that a form offers."""
        asked = tuple(request.GET.get(name, "") for name in ("app_label", "model_name", "field_name"))
        if asked not in self._autocompleted():
            raise PermissionDenied
        return super().autocomplete_view(request)

    def _autocompleted(self) -> set[tuple[str, ...]]:
        """(app label, model name, field) of every field with autocompletion."""
        admins = [form for admin in self._registry.values() for form in (admin, *admin.inlines)]
        return {
            (admin.model._meta.app_label, str(admin.model._meta.model_name), field)
            for admin in admins
            for field in admin.autocomplete_fields
        }

    def get_log_entries(self, request: HttpRequest) -> QuerySet[LogEntry]:
        """The log knows no organisations, and a member's own entries may be from an earlier one."""
        entries = super().get_log_entries(request)
        return entries if sees_all(request) else entries.none()


site = SmartQueueAdminSite()
