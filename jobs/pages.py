"""The jobs pages: parse, call a service or a live view, render."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views import View

from jobs import (
    allowed_types,
    content,
    examples,
    job_page_selectors,
    page_selectors,
    selectors,
    services,
    states,
)
from jobs.forms import ListFilter, NewJob
from jobs.live import JobLive, JobsLive, WorkersLive
from jobs.models import Job
from jobs.queue_room import QueueFull
from orgs import roles
from orgs.exceptions import Forbidden, InvalidInput, NoOrganization
from orgs.pages import LivePage
from orgs.scoping import OrgPageMixin, org_of


class JobsPage(LivePage):
    """The list of jobs, by state."""

    template_name = "jobs/list.html"
    view = JobsLive()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        wanted = page_selectors.wanted_from(ListFilter(self.request.GET))
        form = ListFilter(initial={"status": wanted.status, "q": wanted.q, **wanted.labels})
        return super().get_context_data(**kwargs, filter=form)


class JobPage(LivePage):
    """One job."""

    template_name = "jobs/detail.html"
    view = JobLive()

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        payload = job_page_selectors.payload(self.user, self.kwargs["job_id"])
        hidden = content.hidden_from(self.user)
        return {**context, "payload": "" if hidden else json.dumps(payload, indent=2, ensure_ascii=False)}


class WorkersPage(LivePage):
    """The worker pool and the leader."""

    template_name = "jobs/workers.html"
    view = WorkersLive()


class NewJobPage(OrgPageMixin, View):
    """The submit form."""

    action_needed = roles.JOBS_SUBMIT

    def get(self, request: HttpRequest) -> HttpResponse:
        if self.user.org is None:
            return render(request, "jobs/new.html", status=NoOrganization.http_status)
        chosen = self._chosen(request.GET.get("type", ""))
        if not chosen:
            return render(request, "jobs/new.html", {"nothing_allowed": True}, status=Forbidden.http_status)
        kept = {name: request.GET[name] for name in ("name", "lane") if request.GET.get(name)}
        health_url = request.build_absolute_uri("/healthz")
        example = json.dumps(examples.payload(chosen, health_url=health_url), indent=2)
        return self._page(NewJob(initial={**kept, "type": chosen, "payload": example}), chosen)

    def post(self, request: HttpRequest) -> HttpResponse:
        org_of(self.user)
        form = NewJob(request.POST)
        job = self._submit(form) if form.is_valid() else None
        if job is None:
            status = QueueFull.http_status if form.has_error(NON_FIELD_ERRORS, QueueFull.code) else 422
            return self._page(form, self._chosen(request.POST.get("type", "")), status=status)
        return redirect("page-job", job.pk)

    def _submit(self, form: NewJob) -> Job | None:
        try:
            return services.submit(org=org_of(self.user), user=self.user, **form.values())
        except InvalidInput as error:
            form.refuse(error.fields)
        except QueueFull as error:
            form.add_error(None, ValidationError(error.message, error.code))
        return None

    def _page(self, form: NewJob, chosen: str, *, status: int = 200) -> HttpResponse:
        context = {"form": form, "types": self._types(), "chosen": chosen}
        return render(self.request, "jobs/new.html", context, status=status)

    def _types(self) -> dict[str, str]:
        """What the organisation may submit, each with its description."""
        allowed = allowed_types.types_of(org_of(self.user))
        return {name: text for name, text in examples.DESCRIPTIONS.items() if name in allowed}

    def _chosen(self, given: str) -> str:
        """The type that was asked for, or the first one; empty where none is allowed."""
        types = self._types()
        return given if given in types else next(iter(types), "")


class CancelPage(OrgPageMixin, View):
    """GET asks whether to cancel a job, POST does it."""

    action_needed = roles.JOBS_READ

    def get(self, request: HttpRequest, job_id: int) -> HttpResponse:
        job = selectors.job(self.user, job_id)
        if job.is_final or job.cancel_requested:
            return redirect("page-job", job_id)
        if not job_page_selectors.header(self.user, job).may_cancel:
            raise Forbidden("Your role allows you to cancel only jobs that you submitted yourself.")
        return render(request, "jobs/cancel.html", {"job": job, "running": job.status == states.RUNNING})

    def post(self, request: HttpRequest, job_id: int) -> HttpResponse:
        services.cancel(job=selectors.job(self.user, job_id), user=self.user)
        return redirect("page-job", job_id)
