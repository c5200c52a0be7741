"""The pages of limits: the list with their use, the form, and the question before one is removed."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views import View

from jobs import limit_selectors, limits
from jobs.limit_forms import LimitForm
from jobs.live import LimitsLive
from jobs.models import Limit
from orgs import roles
from orgs.asking_page import AskingPage, Question
from orgs.exceptions import InvalidInput
from orgs.pages import LivePage
from orgs.scoping import OrgPageMixin, org_of


class LimitsPage(LivePage):
    """The limits, and what the organisation has received."""

    template_name = "jobs/limits.html"
    view = LimitsLive()


class LimitPage(OrgPageMixin, View):
    """The form that sets a limit: a new one, or the one that the address names."""

    action_needed = roles.LIMITS_MANAGE

    def get(self, request: HttpRequest, limit_id: int | None = None) -> HttpResponse:
        changed = self._changed(limit_id)
        return self._page(LimitForm(any_org=self.user.is_platform_admin, changed=changed), changed)

    def post(self, request: HttpRequest, limit_id: int | None = None) -> HttpResponse:
        changed = self._changed(limit_id)
        form = LimitForm(request.POST, any_org=self.user.is_platform_admin, changed=changed)
        if form.is_valid() and self._set(form, changed):
            return redirect("page-limits")
        return self._page(form, changed, status=422)

    def _changed(self, limit_id: int | None) -> Limit | None:
        return None if limit_id is None else limit_selectors.limit(self.user, limit_id)

    def _set(self, form: LimitForm, changed: Limit | None) -> bool:
        data = form.cleaned_data
        if changed is not None:
            org, scope, name = changed.org, changed.scope, changed.name
        else:
            org, scope, name = data.get("org") or org_of(self.user), data["scope"], data["name"]
        try:
            limits.set_limit(user=self.user, org=org, scope=scope, name=name, **form.bounds())
        except InvalidInput as error:
            form.refuse(error.fields)
            return False
        except limits.TooManyLimits as error:
            form.add_error(None, error.message)
            return False
        return True

    def _page(self, form: LimitForm, changed: Limit | None, *, status: int = 200) -> HttpResponse:
        of = "" if changed is None else limits.target_of(changed.scope, changed.name)
        return render(self.request, "jobs/limit.html", {"form": form, "of": of}, status=status)


class RemoveLimitPage(AskingPage):
    """Asks whether to remove a limit."""

    action_needed = roles.LIMITS_MANAGE

    def back(self) -> str:
        return reverse("page-limits")

    def question(self) -> Question | None:
        limit = limit_selectors.limit(self.user, self.kwargs["limit_id"])
        text = "What it held back may begin at once, as far as other limits allow."
        return Question(f"Remove the limit of {limits.target_of(limit.scope, limit.name)}?", text, "Remove")

    def carry_out(self) -> str:
        limit = limit_selectors.limit(self.user, self.kwargs["limit_id"])
        limits.remove_limit(user=self.user, limit=limit)
        return self.back()
