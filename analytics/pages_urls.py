"""Path of the analytics page; the site includes it at "dashboard/"."""

from __future__ import annotations

from django.urls import path

from analytics.pages import AnalyticsPage

urlpatterns = [path("analytics/", AnalyticsPage.as_view(), name="page-analytics")]
