"""The analytics page."""

from __future__ import annotations

from analytics.live import AnalyticsLive
from orgs.pages import LivePage


class AnalyticsPage(LivePage):
    template_name = "analytics/page.html"
    view = AnalyticsLive()
