"""All paths of the site. Each part brings its own; nothing but composition lives here."""

from __future__ import annotations

from django.urls import include, path

from orgs.admin_site import site
from smartqueue import health
from smartqueue.openapi import ExplorerView, SchemaView

handler400 = "smartqueue.errors.handler400"
handler403 = "smartqueue.errors.handler403"
handler404 = "smartqueue.errors.handler404"
handler500 = "smartqueue.errors.handler500"

urlpatterns = [
    path("", health.home),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
    path("schema", SchemaView.as_view(), name="schema"),
    path("docs", health.only_reading(ExplorerView.as_view(url_name="schema")), name="docs"),
    path("", include("orgs.urls")),
    path("", include("jobs.urls")),
    path("", include("analytics.urls")),
    path("", include("predictor.urls")),
    path("dashboard/", include("smartqueue.pages_urls")),
    path("dashboard/", include("orgs.pages_urls")),
    path("dashboard/", include("jobs.pages_urls")),
    path("dashboard/", include("analytics.pages_urls")),
    path("admin/", site.urls),
]
