"""The tenant filter, and one mixin per interface that applies it.

A stranger gets 404 (nothing of another organisation exists for them), a member whose role does not
allow an action gets 403. API, pages, admin and sockets all come through `for_user`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.http import HttpRequest, HttpResponseBase

from orgs.exceptions import Forbidden, NoOrganization
from orgs.models import Organization, User

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView as _APIView
else:
    _APIView = object

M = TypeVar("M", bound=models.Model)
_HOMELESS_ADMIN = "You belong to no organisation: choose yours in the admin, under Users."

Rows = TypeVar("Rows", bound=models.QuerySet[Any])


class OrgQuerySet(models.QuerySet[M]):
    """Rows of a model that has `org`."""

    def for_user(self, user: User | AnonymousUser) -> OrgQuerySet[M]:
        return scoped(self, user)


def rows_for_user(model: type[M], user: User | AnonymousUser) -> models.QuerySet[M]:
    """The rows of any model that `user` may see; of a model without an organisation, none for a member."""
    return scoped(model._default_manager.all(), user)


def scoped(rows: Rows, user: User | AnonymousUser) -> Rows:
    """Those of `rows` that `user` may see: all for a platform admin, the org's for a member, else none."""
    if not isinstance(user, User) or not user.is_active:
        return rows.none()
    if user.sees_all:
        return rows.all()
    field, org_id = org_field(rows.model), user.seen_org_id
    return rows.filter(**{field: org_id}) if field and org_id else rows.none()


def org_field(model: type[models.Model]) -> str | None:
    """The column that names the organisation of a row; None for a model that no organisation owns."""
    if issubclass(model, Organization):
        return "id"
    return "org_id" if any(field.attname == "org_id" for field in model._meta.concrete_fields) else None


def owned_by_org_of(user: User, row: models.Model) -> bool:
    """Whether `user` may see `row`: any for a platform admin, for a member those of the organisation."""
    if user.sees_all:
        return True
    field, org_id = org_field(type(row)), user.seen_org_id
    return field is not None and org_id is not None and getattr(row, field) == org_id


class OrgManager(models.Manager[M]):
    """The default manager of tenant models: `objects.for_user(user)` is where every door begins."""

    def get_queryset(self) -> OrgQuerySet[M]:
        return OrgQuerySet(self.model, using=self._db)

    def for_user(self, user: User | AnonymousUser) -> OrgQuerySet[M]:
        return self.get_queryset().for_user(user)


def require(user: User | AnonymousUser, action: str) -> User:
    """The user, if the role allows `action`; raises Forbidden otherwise."""
    if isinstance(user, User) and user.may(action):
        return user
    raise Forbidden(f"Your role does not allow this ({action}).")


def org_of(user: User) -> Organization:
    """The user's organisation; raises NoOrganization."""
    if user.org is None:
        raise NoOrganization(_HOMELESS_ADMIN if user.is_platform_admin else "")
    return user.org


class OrgAPIMixin(_APIView):
    """For API views: `self.user` is a User, and `action_needed` names what each method requires."""

    action_needed: dict[str, str] = {}

    @property
    def user(self) -> User:
        assert isinstance(self.request.user, User)
        return self.request.user

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        method = "GET" if request.method == "HEAD" else request.method or ""
        if action := self.action_needed.get(method):
            require(request.user, action)


class OrgPageMixin(LoginRequiredMixin):
    """For pages: a visitor goes to the login page, a member without the right gets 403."""

    action_needed = ""
    request: HttpRequest

    @property
    def user(self) -> User:
        assert isinstance(self.request.user, User)
        return self.request.user

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated and self.action_needed:
            require(request.user, self.action_needed)
        return super().dispatch(request, *args, **kwargs)
