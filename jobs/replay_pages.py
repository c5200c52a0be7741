"""The pages that submit jobs again: one, or many dead letters. GET asks or shows a form, POST does it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views import View

from jobs import replay_selectors, replays, selectors, states
from jobs.models import Replay
from jobs.replay_forms import ReplayForm
from orgs import roles
from orgs.asking_page import AskingPage, Question
from orgs.exceptions import InvalidInput
from orgs.models import Organization
from orgs.scoping import OrgPageMixin, org_of

DEAD_LETTERS = f"?status={states.FAILED}"
# Parts of the list's filter that lead to the form.
FROM_LIST = ("type", "name", "queue", "tag")


class ReplayJobPage(AskingPage):
    """Asks whether to submit a job again."""

    action_needed = roles.JOBS_SUBMIT

    def back(self) -> str:
        return reverse("page-job", args=[self.kwargs["job_id"]])

    def question(self) -> Question | None:
        job = selectors.job(self.user, self.kwargs["job_id"])
        if not replays.may_replay(self.user, job):
            return None
        text = (
            f"Job {job.pk} is {job.status}. A new job with the same payload and limits is submitted for it."
        )
        return Question(
            f"Replay \N{LEFT DOUBLE QUOTATION MARK}{job.name}\N{RIGHT DOUBLE QUOTATION MARK}?",
            text,
            "Replay the job",
        )

    def carry_out(self) -> str:
        made = replays.replay(job=selectors.job(self.user, self.kwargs["job_id"]), user=self.user)
        return reverse("page-job", args=[made.pk])


class ReplayManyPage(OrgPageMixin, View):
    """The form that replays dead letters; the button "Count" tells how many match and does nothing."""

    action_needed = roles.JOBS_REPLAY_MANY

    def get(self, request: HttpRequest) -> HttpResponse:
        given: dict[str, Any] = {name: request.GET[name] for name in FROM_LIST if request.GET.get(name)}
        given |= {"rate_per_s": replays.DEFAULT_RATE, "org": self.user.org.name if self.user.org else ""}
        return self._page(self._form(initial=given), counted=self._form(given))

    def post(self, request: HttpRequest) -> HttpResponse:
        if not self.user.is_platform_admin:
            org_of(self.user)
        form = self._form(request.POST)
        if form.is_valid() and request.POST.get("step") != "count" and self._start(form):
            return redirect(reverse("page-jobs") + DEAD_LETTERS)
        return self._page(form, counted=form, status=200 if form.is_valid() else 422)

    def _form(self, *data: Any, **named: Any) -> ReplayForm:
        return ReplayForm(*data, any_org=self.user.is_platform_admin, **named)

    def _org(self, form: ReplayForm) -> Organization:
        org: Organization | None = form.cleaned_data.get("org")
        return org or org_of(self.user)

    def _start(self, form: ReplayForm) -> bool:
        try:
            replays.start(
                org=self._org(form),
                user=self.user,
                wanted=form.filter(),
                rate_per_s=form.cleaned_data["rate_per_s"],
            )
        except InvalidInput as error:
            for name, messages in error.fields.items():
                form.add_error(name.removeprefix("filter."), messages)
            return False
        return True

    def _page(self, form: ReplayForm, *, counted: ReplayForm, status: int = 200) -> HttpResponse:
        count = None
        if counted.is_valid():
            count = replay_selectors.matching(self.user, self._org(counted), counted.filter())
        context = {"form": form, "count": count, "back": reverse("page-jobs") + DEAD_LETTERS}
        return render(self.request, "jobs/replay_many.html", context, status=status)


class CancelReplayPage(AskingPage):
    """Asks whether to end a bulk replay."""

    action_needed = roles.JOBS_REPLAY_MANY

    def back(self) -> str:
        return reverse("page-jobs") + DEAD_LETTERS

    def question(self) -> Question | None:
        replay = replay_selectors.bulk_replay(self.user, self.kwargs["replay_id"])
        if replay.status != Replay.ACTIVE:
            return None
        text = f"It has submitted {replay.replayed} jobs so far. They stay; no more are submitted."
        return Question(f"End replay {replay.pk}?", text, "End the replay", danger=True)

    def carry_out(self) -> str:
        replay = replay_selectors.bulk_replay(self.user, self.kwargs["replay_id"])
        replays.cancel(replay=replay, user=self.user)
        return self.back()
