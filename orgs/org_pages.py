"""The organisation's page, and the pages of what is done to its members, its settings and itself."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views import View

from orgs import life, memberships, org_page_selectors, roles, selectors, services
from orgs.asking_page import AskingPage, Question
from orgs.exceptions import Conflict, InvalidInput, NoOrganization
from orgs.models import User
from orgs.org_forms import CreateForm, DeleteForm, HandOverForm, RoleForm, SettingsForm
from orgs.scoping import OrgPageMixin, org_of, require
from orgs.wording import duration


class OrganizationPage(OrgPageMixin, View):
    """Members for everybody; invitations and settings for org admins, whose form it takes."""

    action_needed = roles.MEMBERS_READ

    def get(self, request: HttpRequest) -> HttpResponse:
        if self.user.org is None:
            return render(
                request, "orgs/organisation.html", {"form": None}, status=NoOrganization.http_status
            )
        return self._page(SettingsForm(initial=_settings_of(self.user)))

    def post(self, request: HttpRequest) -> HttpResponse:
        require(self.user, roles.ORG_MANAGE)
        form = SettingsForm(request.POST)
        if form.is_valid():
            try:
                life.change_settings(actor=self.user, org=org_of(self.user), **form.cleaned_data)
                return redirect("page-organisation")
            except (InvalidInput, Conflict) as error:
                form.refuse(error.fields, error.message)
        return self._page(form, status=422)

    def _page(self, form: SettingsForm, *, status: int = 200) -> HttpResponse:
        context = {"page": org_page_selectors.page(self.user), "form": form}
        return render(self.request, "orgs/organisation.html", context, status=status)


class CreatePage(OrgPageMixin, View):
    """The form by which somebody without an organisation makes one."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(CreateForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = CreateForm(request.POST)
        if form.is_valid():
            try:
                services.organization_create(user=self.user, **form.cleaned_data)
                return redirect("page-organisation")
            except (InvalidInput, Conflict) as error:
                form.refuse(error.fields, error.message)
        return self._page(form, status=422)

    def _page(self, form: CreateForm, *, status: int = 200) -> HttpResponse:
        context = {
            "title": "Create an organisation",
            "text": "You run it as its org admin and invite others into it.",
            "form": form,
            "button": "Create the organisation",
            "back": reverse("page-organisation"),
        }
        return render(self.request, "orgs/form.html", context, status=status)


class MemberRolePage(OrgPageMixin, View):
    """The form that gives a member another role."""

    action_needed = roles.MEMBERS_MANAGE

    def get(self, request: HttpRequest, user_id: int) -> HttpResponse:
        member = selectors.member(user=self.user, user_id=user_id)
        return self._page(RoleForm(initial={"role": member.role}), member)

    def post(self, request: HttpRequest, user_id: int) -> HttpResponse:
        member = selectors.member(user=self.user, user_id=user_id)
        form = RoleForm(request.POST)
        if form.is_valid():
            try:
                memberships.change_role(actor=self.user, member=member, **form.cleaned_data)
                return redirect("page-organisation")
            except (InvalidInput, Conflict) as error:
                form.refuse(error.fields, error.message)
        return self._page(form, member, status=422)

    def _page(self, form: RoleForm, member: User, *, status: int = 200) -> HttpResponse:
        context = {
            "title": f"Role of {member.username}",
            "text": "It is in force with the member's next request.",
            "form": form,
            "button": "Change the role",
            "back": reverse("page-organisation"),
        }
        return render(self.request, "orgs/form.html", context, status=status)


class RemoveMemberPage(AskingPage):
    """Asks whether to remove a member."""

    action_needed = roles.MEMBERS_MANAGE

    def back(self) -> str:
        return reverse("page-organisation")

    def question(self) -> Question | None:
        member = selectors.member(user=self.user, user_id=self.kwargs["user_id"])
        text = "Their API keys end at once. Their jobs stay the organisation's, and go on."
        return Question(f"Remove {member.username} from the organisation?", text, "Remove", danger=True)

    def carry_out(self) -> str:
        member = selectors.member(user=self.user, user_id=self.kwargs["user_id"])
        memberships.remove(actor=self.user, member=member)
        return self.back()


class LeavePage(AskingPage):
    """Asks whether to leave the organisation."""

    def back(self) -> str:
        return reverse("page-organisation")

    def question(self) -> Question | None:
        name = org_of(self.user).name
        text = "Your API keys end at once. Your jobs stay the organisation's. To come back you need an invitation."
        return Question(f"Leave {name}?", text, "Leave", danger=True)

    def carry_out(self) -> str:
        memberships.leave(user=self.user)
        return reverse("page-jobs")


class HandOverPage(OrgPageMixin, View):
    """The form that makes another member org admin in one's own place."""

    action_needed = roles.ORG_MANAGE

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(HandOverForm(heirs=org_page_selectors.heirs(self.user)))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = HandOverForm(request.POST, heirs=org_page_selectors.heirs(self.user))
        if form.is_valid():
            try:
                memberships.hand_over(actor=self.user, member=form.cleaned_data["member"])
                return redirect("page-organisation")
            except Conflict as error:
                form.refuse({}, error.message)
        return self._page(form, status=422)

    def _page(self, form: HandOverForm, *, status: int = 200) -> HttpResponse:
        context = {
            "title": f"Hand over {org_of(self.user).name}",
            "text": "The member becomes org admin, and you become a user. Only an org admin can undo it.",
            "form": form,
            "button": "Hand over",
            "back": reverse("page-organisation"),
            "danger": True,
        }
        return render(self.request, "orgs/form.html", context, status=status)


class DeletePage(OrgPageMixin, View):
    """The form that has the organisation deleted; its name has to be typed."""

    action_needed = roles.ORG_MANAGE

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(DeleteForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = DeleteForm(request.POST)
        if form.is_valid():
            try:
                life.ask_deletion(actor=self.user, org=org_of(self.user), **form.cleaned_data)
                return redirect("page-organisation")
            except InvalidInput as error:
                form.refuse(error.fields)
        return self._page(form, status=422)

    def _page(self, form: DeleteForm, *, status: int = 200) -> HttpResponse:
        grace = duration(settings.ORG_DELETE_GRACE_H * 3_600_000)
        context = {
            "title": f"Delete {org_of(self.user).name}",
            "text": "At once its queued jobs wait, nothing can be submitted, and only org admins can come in. "
            f"After {grace} all its jobs, results, output and limits are removed for good. Until then an org admin "
            "can take it back.",
            "form": form,
            "button": "Delete the organisation",
            "back": reverse("page-organisation"),
            "danger": True,
        }
        return render(self.request, "orgs/form.html", context, status=status)


class RestorePage(AskingPage):
    """Asks whether to take the deletion back."""

    action_needed = roles.ORG_MANAGE

    def back(self) -> str:
        return reverse("page-organisation")

    def question(self) -> Question | None:
        org = org_of(self.user)
        if org.delete_at is None:
            return None
        text = "Its members can come in again, and its queued jobs go on."
        return Question(f"Keep {org.name}?", text, "Keep the organisation")

    def carry_out(self) -> str:
        life.restore(actor=self.user, org=org_of(self.user))
        return self.back()


def _settings_of(user: User) -> dict[str, object]:
    org = org_of(user)
    return {name: getattr(org, name) for name in life.SETTINGS}
