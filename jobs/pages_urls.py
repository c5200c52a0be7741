"""Paths of the jobs pages; the site includes them at "dashboard/"."""

from __future__ import annotations

from django.urls import path

from jobs import control_pages, limit_pages, pages, replay_pages
from jobs.models import Worker

urlpatterns = [
    path("", pages.JobsPage.as_view(), name="page-jobs"),
    path("jobs/new/", pages.NewJobPage.as_view(), name="page-job-new"),
    path("jobs/<int:job_id>/", pages.JobPage.as_view(), name="page-job"),
    path("jobs/<int:job_id>/cancel/", pages.CancelPage.as_view(), name="page-job-cancel"),
    path("jobs/<int:job_id>/replay/", replay_pages.ReplayJobPage.as_view(), name="page-job-replay"),
    path("pauses/new/", control_pages.PausePage.as_view(), name="page-pause"),
    path("pauses/<int:pause_id>/resume/", control_pages.ResumePage.as_view(), name="page-resume"),
    path("limits/", limit_pages.LimitsPage.as_view(), name="page-limits"),
    path("limits/new/", limit_pages.LimitPage.as_view(), name="page-limit-new"),
    path("limits/<int:limit_id>/", limit_pages.LimitPage.as_view(), name="page-limit"),
    path("limits/<int:limit_id>/remove/", limit_pages.RemoveLimitPage.as_view(), name="page-limit-remove"),
    path("replays/new/", replay_pages.ReplayManyPage.as_view(), name="page-replay-many"),
    path(
        "replays/<int:replay_id>/cancel/", replay_pages.CancelReplayPage.as_view(), name="page-replay-cancel"
    ),
    path("workers/", pages.WorkersPage.as_view(), name="page-workers"),
    *(
        path(
            f"workers/<str:worker_id>/{verb}/",
            control_pages.WorkerPage.as_view(),
            {"wanted": wanted},
            name=f"page-worker-{verb}",
        )
        for verb, wanted in (("pause", Worker.PAUSE), ("resume", Worker.RUN), ("drain", Worker.DRAIN))
    ),
]
