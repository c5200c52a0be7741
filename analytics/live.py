"""The live part of the analytics page, and its socket (smartqueue.asgi routes to it)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import QueryDict
from django.urls import path

from analytics import page_selectors, selectors
from orgs import roles
from orgs.live import LiveView, OrgConsumer
from orgs.models import User


class AnalyticsLive(LiveView):
    """The numbers and the charts; looked at less often than the lists, for they read more."""

    action_needed = roles.JOBS_READ
    min_interval_s = 2.0
    fragments: ClassVar = {
        "summary": "analytics/_summary.html",
        "throughput": "analytics/_throughput.html",
        "scatter": "analytics/_scatter.html",
        "accuracy": "analytics/_accuracy.html",
        "calibration": "analytics/_calibration.html",
        "depth": "analytics/_depth.html",
    }

    def load(self, user: User, query: QueryDict, **kwargs: Any) -> dict[str, Any]:
        return {
            "summary": selectors.summary(user),
            "throughput": page_selectors.throughput(user),
            "scatter": page_selectors.scatter(user),
            "accuracy": page_selectors.accuracy(user),
            "calibration": page_selectors.calibration(user),
            "depth": page_selectors.queue_depth(user),
        }


sockets = [path("analytics/", OrgConsumer.as_asgi(view=AnalyticsLive()))]
