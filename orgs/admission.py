"""Where it becomes known who sends a request, and the wall of `orgs.walls` is set for them.

`WallMiddleware` serves every request over HTTP, `JWTAuthentication` and the sockets call `admit` for what a session
does not tell, `PasswordBackend` looks people up before anything is known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, update_last_login
from django.http import HttpRequest, HttpResponseBase

from orgs import walls
from orgs.login_guard import guarded
from orgs.models import User


def admit(user: AbstractBaseUser | AnonymousUser) -> None:
    """From here on the request reaches what `user` may see: see `orgs.walls`."""
    if not isinstance(user, User) or not user.is_active:
        walls.narrow()
    elif user.sees_all:
        walls.widen()
    else:
        walls.narrow(user.seen_org_id)


class WallMiddleware:
    """Behind Django's AuthenticationMiddleware: nothing before it reads what an organisation owns."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with walls.request():
            # Without a session there is nobody to look for, and the response depends on no cookie.
            if settings.SESSION_COOKIE_NAME in request.COOKIES:
                admit(request.user)
            return self._get_response(request)


class PasswordBackend(ModelBackend):
    """Users by name and password, and by the id in a session, before it is known whose they are."""

    @walls.everything()
    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **rest: Any,
    ) -> User | None:
        """Raises RateLimited where failed logins came before: see `orgs.login_guard`."""
        check = partial(super().authenticate, request, username=username, password=password, **rest)
        if request is None or username is None or password is None:
            return _with_org(check())
        return _with_org(guarded(request, username, check))

    @walls.everything()
    def get_user(self, user_id: Any) -> User | None:
        """With the organisation, whose state every door asks."""
        found = User.objects.select_related("org").filter(pk=user_id).first()
        return found if found is not None and self.user_can_authenticate(found) else None


@walls.everything()
def note_login(sender: Any, user: Any, **rest: Any) -> None:
    """In place of Django's own receiver, which would look for the user behind the wall of a visitor."""
    update_last_login(sender, user, **rest)


def _with_org(user: User | None) -> User | None:
    """The organisation is read while it is reached: every door asks whether it is open."""
    if user is not None:
        user.org  # noqa: B018
    return user
