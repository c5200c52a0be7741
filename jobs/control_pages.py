"""The pages that hold work back, tell workers what to do and replay. GET asks or shows a form, POST does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views import View

from jobs import control, control_page_selectors, control_selectors, replays, selectors, states
from jobs.control_forms import PauseForm, ReplayForm
from jobs.models import Worker
from orgs import roles
from orgs.exceptions import InvalidInput, NotFound
from orgs.scoping import OrgPageMixin, org_of

DEAD_LETTERS = f"?status={states.FAILED}"


@dataclass(frozen=True)
class Question:
    """What a page asks before something is done."""

    title: str
    text: str
    button: str
    back: str
    danger: bool = False


class AskingPage(OrgPageMixin, View):
    """GET asks `question()`, POST does what `carry_out()` does and leads to the address that it gives."""

    def question(self) -> Question:
        raise NotImplementedError

    def carry_out(self) -> str:
        raise NotImplementedError

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return render(request, "jobs/confirm.html", {"question": self.question()})

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return redirect(self.carry_out())


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
        control.pause(user=self.user, org=data.get("org"), reason=data["reason"], **wanted)
        return redirect("page-jobs")

    def _page(self, form: PauseForm, *, status: int = 200) -> HttpResponse:
        return render(self.request, "jobs/pause.html", {"form": form}, status=status)


class ResumePage(AskingPage):
    """Asks whether to end a pause."""

    action_needed = roles.QUEUES_PAUSE

    def question(self) -> Question:
        pause = control_selectors.pause(self.user, self.kwargs["pause_id"])
        text = "Workers take these jobs again at once, in the order of the queue."
        return Question(f"Resume {control.scope_of(pause)}?", text, "Resume", reverse("page-jobs"))

    def carry_out(self) -> str:
        control.resume(user=self.user, pause=control_selectors.pause(self.user, self.kwargs["pause_id"]))
        return reverse("page-jobs")


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

    def question(self) -> Question:
        worker = selectors.workers().filter(pk=self.kwargs["worker_id"]).first()
        if worker is None:
            raise NotFound("There is no such worker.")
        wanted = self.kwargs["wanted"]
        verb, text = self.words[wanted]
        title = f"{verb} the worker {worker}?"
        return Question(title, text, verb, reverse("page-workers"), danger=wanted == Worker.DRAIN)

    def carry_out(self) -> str:
        control.set_wanted(user=self.user, worker_id=self.kwargs["worker_id"], wanted=self.kwargs["wanted"])
        return reverse("page-workers")


class ReplayJobPage(AskingPage):
    """Asks whether to submit a job again."""

    action_needed = roles.JOBS_SUBMIT

    def question(self) -> Question:
        job = selectors.job(self.user, self.kwargs["job_id"])
        text = (
            f"Job {job.pk} is {job.status}. A new job with the same payload and limits is submitted for it."
        )
        return Question(
            f"Replay \N{LEFT DOUBLE QUOTATION MARK}{job.name}\N{RIGHT DOUBLE QUOTATION MARK}?",
            text,
            "Replay the job",
            reverse("page-job", args=[job.pk]),
        )

    def carry_out(self) -> str:
        made = replays.replay(job=selectors.job(self.user, self.kwargs["job_id"]), user=self.user)
        return reverse("page-job", args=[made.pk])


class ReplayManyPage(OrgPageMixin, View):
    """The form that replays dead letters; the button "Count" tells how many match and does nothing."""

    action_needed = roles.JOBS_REPLAY_MANY

    def get(self, request: HttpRequest) -> HttpResponse:
        given = {name: request.GET[name] for name in ("type", "name") if request.GET.get(name)}
        checked = ReplayForm({**given, "rate_per_s": replays.DEFAULT_RATE})
        return self._page(ReplayForm(initial=given), counted=checked)

    def post(self, request: HttpRequest) -> HttpResponse:
        org_of(self.user)
        form = ReplayForm(request.POST)
        if form.is_valid() and request.POST.get("step") != "count" and self._start(form):
            return redirect(reverse("page-jobs") + DEAD_LETTERS)
        return self._page(form, counted=form, status=200 if form.is_valid() else 422)

    def _start(self, form: ReplayForm) -> bool:
        try:
            replays.start(
                org=org_of(self.user),
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
        count = control_page_selectors.matching(self.user, counted.filter()) if counted.is_valid() else None
        context = {"form": form, "count": count, "back": reverse("page-jobs") + DEAD_LETTERS}
        return render(self.request, "jobs/replay_many.html", context, status=status)


class CancelReplayPage(AskingPage):
    """Asks whether to end a bulk replay."""

    action_needed = roles.JOBS_REPLAY_MANY

    def question(self) -> Question:
        replay = control_selectors.bulk_replay(self.user, self.kwargs["replay_id"])
        text = f"It has submitted {replay.replayed} jobs so far. They stay; no more are submitted."
        back = reverse("page-jobs") + DEAD_LETTERS
        return Question(f"End replay {replay.pk}?", text, "End the replay", back, danger=True)

    def carry_out(self) -> str:
        replay = control_selectors.bulk_replay(self.user, self.kwargs["replay_id"])
        replays.cancel(replay=replay, user=self.user)
        return reverse("page-jobs") + DEAD_LETTERS
