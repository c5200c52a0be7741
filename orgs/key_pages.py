"""The pages of API keys: the list, the form, the key shown once, and the question before one is revoked."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View
from django.views.generic import TemplateView

from orgs import api_keys, key_selectors, roles
from orgs.exceptions import Conflict, InvalidInput, NoOrganization
from orgs.key_forms import KeyForm
from orgs.scoping import OrgPageMixin

MOST_SHOWN = 200


class KeysPage(OrgPageMixin, TemplateView):
    """The keys that the user may see, those in force first."""

    action_needed = roles.KEYS_OWN
    template_name = "orgs/keys.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = key_selectors.shown(self.user).select_related("org").order_by("-is_in_force", "-id")
        keys = list(found[: MOST_SHOWN + 1])
        everybodys = self.user.may(roles.KEYS_MANAGE)
        more = len(keys) > MOST_SHOWN
        return super().get_context_data(**kwargs, keys=keys[:MOST_SHOWN], everybodys=everybodys, more=more)


class NewKeyPage(OrgPageMixin, View):
    """The form that makes a key. Its answer is the only page that ever shows the key."""

    action_needed = roles.KEYS_OWN

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(KeyForm(user=self.user))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = KeyForm(request.POST, user=self.user)
        if form.is_valid() and (made := self._made(form)):
            key, secret = made
            answer = render(request, "orgs/key_made.html", {"key": key, "secret": secret})
            answer["Cache-Control"] = "no-store"
            return answer
        return self._page(form, status=422)

    def _made(self, form: KeyForm) -> tuple[Any, str] | None:
        try:
            return api_keys.create(user=self.user, **form.cleaned_data)
        except InvalidInput as error:
            form.refuse(error.fields)
        except (Conflict, NoOrganization) as error:
            form.add_error(None, error.message)
        return None

    def _page(self, form: KeyForm, *, status: int = 200) -> HttpResponse:
        return render(self.request, "orgs/key.html", {"form": form}, status=status)


class RevokeKeyPage(OrgPageMixin, View):
    """Asks whether to revoke a key; there is no way back from it."""

    action_needed = roles.KEYS_OWN

    def get(self, request: HttpRequest, key_id: int) -> HttpResponse:
        key = api_keys.key_of(self.user, key_id)
        if key.revoked_at is not None:
            return redirect("page-keys")
        return render(request, "orgs/key_revoke.html", {"key": key})

    def post(self, request: HttpRequest, key_id: int) -> HttpResponse:
        api_keys.revoke(user=self.user, key=api_keys.key_of(self.user, key_id))
        return redirect("page-keys")
