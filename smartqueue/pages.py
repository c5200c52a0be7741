"""Logging in to the dashboard."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse

from orgs.limits import count_request


class LoginPage(LoginView):
    """Django's own, with the API's limit: one count of attempts per client address for both doors."""

    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        count_request(request, group="auth.login", rate=settings.RATE_LOGIN)
        return super().post(request, *args, **kwargs)
