"""Paths of the jobs pages; the site includes them at "dashboard/"."""

from __future__ import annotations

from django.urls import path

from jobs import pages

urlpatterns = [
    path("", pages.JobsPage.as_view(), name="page-jobs"),
    path("jobs/new/", pages.NewJobPage.as_view(), name="page-job-new"),
    path("jobs/<int:job_id>/", pages.JobPage.as_view(), name="page-job"),
    path("jobs/<int:job_id>/cancel/", pages.CancelPage.as_view(), name="page-job-cancel"),
    path("workers/", pages.WorkersPage.as_view(), name="page-workers"),
]
