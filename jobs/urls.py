"""Paths of the jobs API; the root of the site includes them at "/"."""

from __future__ import annotations

from django.urls import path

from jobs import api

urlpatterns = [
    path("jobs/", api.JobListView.as_view(), name="jobs"),
    path("jobs/workers", api.WorkerListView.as_view(), name="jobs-workers"),
    path("jobs/scheduler/leader", api.LeaderView.as_view(), name="jobs-scheduler-leader"),
    path("jobs/<int:job_id>", api.JobView.as_view(), name="jobs-get"),
    path("jobs/<int:job_id>/cancel", api.CancelView.as_view(), name="jobs-cancel"),
    path("jobs/<int:job_id>/output", api.OutputView.as_view(), name="jobs-output"),
    path("jobs/<int:job_id>/executions", api.ExecutionListView.as_view(), name="jobs-executions"),
    path("jobs/<int:job_id>/events", api.EventListView.as_view(), name="jobs-events"),
]
