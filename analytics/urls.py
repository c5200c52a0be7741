"""Paths of the analytics API; the root of the site includes them at "/"."""

from __future__ import annotations

from django.urls import path

from analytics import api

urlpatterns = [
    path("analytics/summary", api.SummaryView.as_view(), name="analytics-summary"),
    path("analytics/throughput", api.ThroughputView.as_view(), name="analytics-throughput"),
    path("analytics/prediction-accuracy", api.PredictionAccuracyView.as_view(), name="analytics-accuracy"),
    path("analytics/eta-calibration", api.EtaCalibrationView.as_view(), name="analytics-eta-calibration"),
    path("analytics/queue-depth", api.QueueDepthView.as_view(), name="analytics-queue-depth"),
    path("analytics/scheduler-leader", api.SchedulerLeaderView.as_view(), name="analytics-scheduler-leader"),
]
