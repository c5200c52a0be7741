"""Start-up of the analytics part. The Prometheus collector is registered by the first scrape instead."""

from __future__ import annotations

from django.apps import AppConfig


class AnalyticsConfig(AppConfig):
    name = "analytics"
    verbose_name = "Analytics"
