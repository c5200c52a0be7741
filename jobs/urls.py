"""Paths of the jobs API; the root of the site includes them at "/"."""

from __future__ import annotations

from django.urls import path

from jobs import api, bulk_api, control_api, explain_api, limits_api, replay_api

urlpatterns = [
    path("jobs/", api.JobListView.as_view(), name="jobs"),
    path("jobs/bulk", bulk_api.BulkView.as_view(), name="jobs-bulk"),
    path("jobs/workers", api.WorkerListView.as_view(), name="jobs-workers"),
    path("jobs/scheduler/leader", api.LeaderView.as_view(), name="jobs-scheduler-leader"),
    path("jobs/<int:job_id>", api.JobView.as_view(), name="jobs-get"),
    path("jobs/<int:job_id>/cancel", api.CancelView.as_view(), name="jobs-cancel"),
    path("jobs/<int:job_id>/replay", replay_api.JobReplayView.as_view(), name="jobs-replay"),
    path("jobs/<int:job_id>/output", api.OutputView.as_view(), name="jobs-output"),
    path("jobs/<int:job_id>/executions", api.ExecutionListView.as_view(), name="jobs-executions"),
    path("jobs/<int:job_id>/explain", explain_api.ExplainView.as_view(), name="jobs-explain"),
    path("jobs/<int:job_id>/events", api.EventListView.as_view(), name="jobs-events"),
    path("pauses", control_api.PauseListView.as_view(), name="pauses"),
    path("pauses/<int:pause_id>", control_api.PauseView.as_view(), name="pauses-delete"),
    path("limits/", limits_api.LimitListView.as_view(), name="limits"),
    path("limits/org", limits_api.OrgLimitView.as_view(), name="limits-org"),
    path("limits/queues/<str:queue>", limits_api.QueueLimitView.as_view(), name="limits-queue"),
    path("limits/keys", limits_api.KeyLimitView.as_view(), name="limits-key"),
    path("shares/", limits_api.ShareView.as_view(), name="shares"),
    path("replays", replay_api.ReplayListView.as_view(), name="replays"),
    path("replays/<int:replay_id>", replay_api.ReplayView.as_view(), name="replays-get"),
    path("replays/<int:replay_id>/cancel", replay_api.ReplayCancelView.as_view(), name="replays-cancel"),
    path("workers/", control_api.WorkerListView.as_view(), name="workers"),
    path("workers/<str:worker_id>/pause", control_api.WorkerPauseView.as_view(), name="workers-pause"),
    path("workers/<str:worker_id>/resume", control_api.WorkerResumeView.as_view(), name="workers-resume"),
    path("workers/<str:worker_id>/drain", control_api.WorkerDrainView.as_view(), name="workers-drain"),
]
