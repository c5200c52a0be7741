"""The processes that move jobs. Listed before any app that might bring a `runworker` of its own."""

from __future__ import annotations

from django.apps import AppConfig


class SchedulerConfig(AppConfig):
    name = "scheduler"
