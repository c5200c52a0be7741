"""The pages that hold work back and tell workers what to do. GET asks or shows a form, POST does it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views import View

from jobs import control, control_selectors, selectors
from jobs.control_forms import PauseForm
from jobs.models import Worker
from orgs import roles
from orgs.asking_page import AskingPage, Question
from orgs.exceptions import NotFound
from orgs.scoping import OrgPageMixin


class PausePage(OrgPageMixin, View):
    """The form that pauses a queue, a job type, or everything."""

    action_needed = roles.QUEUES_PAUSE

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(PauseForm(whole_platform=self.user.is_platform_admin))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = PauseForm(request.POST, whole_platform=self.user.is_platform_admin)
        if not form.is_valid():
            return self._page(form, status=422)
        data = form.cleaned_data
        wanted = {name: data[name] or None for name in ("queue", "type")}
        try:
            control.pause(user=self.user, org=data.get("org"), reason=data["reason"], **wanted)
        except control.TooManyPauses as error:
            form.add_error(None, error.message)
            return self._page(form, status=422)
        return redirect("page-jobs")

    def _page(self, form: PauseForm, *, status: int = 200) -> HttpResponse:
        return render(self.request, "jobs/pause.html", {"form": form}, status=status)


class ResumePage(AskingPage):
    """Asks whether to end a pause."""

    action_needed = roles.QUEUES_PAUSE

    def back(self) -> str:
        return reverse("page-jobs")

    def question(self) -> Question | None:
        pause = control_selectors.pause(self.user, self.kwargs["pause_id"])
        if not control.may_resume(self.user, pause):
            return None
        text = "Workers take these jobs again at once, in the order of the queue."
        return Question(f"Resume {control.scope_of(pause)}?", text, "Resume")

    def carry_out(self) -> str:
        control.resume(user=self.user, pause=control_selectors.pause(self.user, self.kwargs["pause_id"]))
        return self.back()


class WorkerPage(AskingPage):
    """Asks whether to pause, resume or drain a worker."""

    action_needed = roles.WORKERS_CONTROL
    words = {
        Worker.PAUSE: ("Pause", "It takes no more jobs until it is resumed; those that run go on."),
        Worker.RUN: ("Resume", "It takes jobs again at once."),
        Worker.DRAIN: (
            "Drain",
            "It takes no more jobs and ends after those that run. This cannot be taken back: start another one.",
        ),
    }

    def back(self) -> str:
        return reverse("page-workers")

    def question(self) -> Question | None:
        worker = selectors.workers().filter(pk=self.kwargs["worker_id"]).first()
        if worker is None:
            raise NotFound("There is no such worker.")
        wanted = self.kwargs["wanted"]
        if worker.wanted == wanted or not control.may_be_told(worker):
            return None
        verb, text = self.words[wanted]
        return Question(f"{verb} the worker {worker}?", text, verb, danger=wanted == Worker.DRAIN)

    def carry_out(self) -> str:
        control.set_wanted(user=self.user, worker_id=self.kwargs["worker_id"], wanted=self.kwargs["wanted"])
        return self.back()
