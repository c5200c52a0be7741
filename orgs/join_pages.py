"""The pages of invitations: making and revoking a link, joining; and the one by which somebody new registers."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View

from orgs import invitations, roles, services
from orgs.asking_page import AskingPage, Question
from orgs.exceptions import Conflict, InvalidInput
from orgs.limits import count_request
from orgs.org_forms import InvitationForm, RegisterForm
from orgs.scoping import OrgPageMixin
from orgs.token_answers import NO_STORE


class InvitePage(OrgPageMixin, View):
    """The form that makes an invitation. Its answer is the only page that ever shows the link."""

    action_needed = roles.MEMBERS_MANAGE

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(InvitationForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = InvitationForm(request.POST)
        if form.is_valid():
            try:
                made, token = invitations.invite(actor=self.user, **form.cleaned_data)
                context = {"invitation": made, "link": invitations.link(request, token)}
                return _unkept(render(request, "orgs/invited.html", context))
            except (InvalidInput, Conflict) as error:
                form.refuse(error.fields, error.message)
        return self._page(form, status=422)

    def _page(self, form: InvitationForm, *, status: int = 200) -> HttpResponse:
        context = {
            "title": "Invite somebody by a link",
            "text": "Send the link to the person. The first one who logs in or registers with it, has no organisation "
            "and presses Join, becomes a member.",
            "form": form,
            "button": "Make the link",
            "back": reverse("page-organisation"),
        }
        return render(self.request, "orgs/form.html", context, status=status)


class RevokeInvitationPage(AskingPage):
    """Asks whether to revoke an invitation."""

    action_needed = roles.MEMBERS_MANAGE

    def back(self) -> str:
        return reverse("page-organisation")

    def question(self) -> Question | None:
        found = invitations.one(self.user, self.kwargs["invitation_id"])
        if invitations.state_of(found) != invitations.OPEN:
            return None
        whom = f" for {found.note}" if found.note else ""
        return Question(f"Revoke the invitation{whom}?", "Its link works no more.", "Revoke", danger=True)

    def carry_out(self) -> str:
        invitations.revoke(actor=self.user, invitation_id=self.kwargs["invitation_id"])
        return self.back()


class JoinPage(OrgPageMixin, View):
    """What the link of an invitation opens: asks whether to accept. Visitors log in, or register, first; that a link is
    dead they learn before."""

    def handle_no_permission(self) -> HttpResponseRedirect:
        invitations.look_at(self.request.GET.get("token", ""))
        return super().handle_no_permission()

    def get(self, request: HttpRequest) -> HttpResponse:
        token = request.GET.get("token", "")
        context = {"invitation": invitations.look_at(token), "token": token}
        return _unkept(render(request, "orgs/join.html", context))

    def post(self, request: HttpRequest) -> HttpResponse:
        count_request(request, group="invitation.accept", rate=settings.RATE_INVITATION)
        invitations.accept(user=self.user, token=request.POST.get("token", ""))
        return redirect("page-organisation")


class RegisterPage(View):
    """A new user without an organisation, who is logged in at once and goes on to `next`."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            return redirect(_next(request))
        return self._page(request, RegisterForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        count_request(request, group="auth.register", rate=settings.RATE_REGISTER)
        form = RegisterForm(request.POST)
        if form.is_valid():
            try:
                user = services.user_register(**form.cleaned_data)
            except (InvalidInput, Conflict) as error:
                form.refuse(error.fields, error.message)
            else:
                login(request, user)
                return redirect(_next(request))
        return self._page(request, form, status=422)

    def _page(self, request: HttpRequest, form: RegisterForm, *, status: int = 200) -> HttpResponse:
        context = {"form": form, "next": _given_next(request)}
        return render(request, "registration/register.html", context, status=status)


def _unkept(answer: HttpResponse) -> HttpResponse:
    for name, value in NO_STORE.items():
        answer[name] = value
    return answer


def _next(request: HttpRequest) -> str:
    """Where to go on: the address that was given, if it is one of this site."""
    given = _given_next(request)
    here = {request.get_host()}
    if given and url_has_allowed_host_and_scheme(given, here, require_https=request.is_secure()):
        return given
    return reverse("page-jobs")


def _given_next(request: HttpRequest) -> str:
    return request.POST.get("next", request.GET.get("next", ""))
