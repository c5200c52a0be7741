"""Logging in to the dashboard, and no longer seeing as one organisation."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views import View

from orgs import invitations, roles, see_as
from orgs.exceptions import OrganizationClosed
from orgs.limits import count_request
from orgs.scoping import OrgPageMixin
from orgs.standing import may_come_in


class LoginPage(LoginView):
    """Django's own, with the API's limit: one count of attempts per client address for both doors."""

    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, invited=invitations.behind(self.get_redirect_url()))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        count_request(request, group="auth.login", rate=settings.RATE_LOGIN)
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """The password was right, so the person may know the state of the organisation."""
        try:
            may_come_in(form.get_user())
        except OrganizationClosed as error:
            form.add_error(None, error.message)
            return self.form_invalid(form)
        return super().form_valid(form)


class StopSeeingAsPage(OrgPageMixin, View):
    """The button of the banner: back to all organisations, and to the page of the admin that lists them."""

    action_needed = roles.PLATFORM_ADMINISTER
    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        see_as.stop(request)
        return redirect("admin:orgs_organization_changelist")
