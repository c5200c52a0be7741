"""The tenant filter, and one mixin per interface that applies it.

A stranger gets 404 (nothing of another organisation exists for them), a member whose role does not
allow an action gets 403. API, pages, admin and sockets all come through `for_user`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.http import HttpRequest, HttpResponseBase

from orgs import roles
from orgs.exceptions import Forbidden, MissingScope, NoOrganization, OrganizationClosed, OrganizationClosing
from orgs.models import ApiKey, Organization, User
from orgs.standing import may_come_in

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView as _APIView
else:
    _APIView = object

M = TypeVar("M", bound=models.Model)
_HOMELESS_ADMIN = "You belong to no organisation: choose yours in the admin, under Members."

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
    if user.sees_all or not settings.TENANT_FILTER:
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
    if user.sees_all or not settings.TENANT_FILTER:
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
    """The user, if role and API key allow `action`; raises Forbidden, and MissingScope for what the key lacks."""
    if isinstance(user, User) and user.may(action):
        return user
    if isinstance(user, User) and user.key is not None:
        require_scope(user.key, action)
    if (
        isinstance(user, User)
        and not user.is_platform_admin
        and user.org is not None
        and not user.org.is_open
    ):
        raise OrganizationClosing if user.org.suspended_at is None else OrganizationClosed
    raise Forbidden(f"Your role does not allow this ({action}).")


def org_of(user: User) -> Organization:
    """The user's organisation; raises NoOrganization."""
    if user.org is None:
        raise NoOrganization(_HOMELESS_ADMIN if user.is_platform_admin else "")
    return user.org


def seen_org(user: User) -> Organization | None:
    """The one organisation whose figures `user` is shown: the own one, or the one that a platform admin looks at."""
    if user.seen_as_org_id is not None:
        return Organization.objects.filter(pk=user.seen_as_org_id).first()
    return user.org


def require_scope(key: ApiKey, action: str) -> None:
    """Raises MissingScope, naming the scope, for an API key that does not cover `action`."""
    if roles.covers(key.scopes, action):
        return
    scopes = [scope for scope, actions in roles.SCOPES.items() if action in actions]
    if not scopes:
        raise MissingScope(f"This cannot be done with an API key ({action}): log in.")
    raise MissingScope(f"The API key lacks the scope {' or '.join(scopes)} ({action}).")


class OrgAPIMixin(_APIView):
    """For API views: `self.user` is a User, and `action_needed` names what each method requires.

    An API key is refused where a method requires nothing by name, unless `action_of_keys` names what a key has to
    cover before the view itself looks, or the view is `for_any_key`.
    """

    action_needed: dict[str, str] = {}
    action_of_keys: dict[str, str] = {}
    for_any_key = False

    @property
    def user(self) -> User:
        assert isinstance(self.request.user, User)
        return self.request.user

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        may_come_in(request.user)
        method = "GET" if request.method == "HEAD" else request.method or ""
        if action := self.action_needed.get(method):
            require(request.user, action)
        elif (key := self.user.key) is not None and hasattr(self, method.lower()):
            self._check_key(key, method)

    def _check_key(self, key: ApiKey, method: str) -> None:
        if action := self.action_of_keys.get(method):
            require_scope(key, action)
        elif not self.for_any_key:
            raise MissingScope("This cannot be done with an API key: log in.")


class OrgPageMixin(LoginRequiredMixin):
    """For pages: a visitor goes to the login page, a member without the right gets 403."""

    action_needed = ""
    request: HttpRequest

    @property
    def user(self) -> User:
        assert isinstance(self.request.user, User)
        return self.request.user

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            may_come_in(request.user)
            if self.action_needed:
                require(request.user, self.action_needed)
        return super().dispatch(request, *args, **kwargs)
