"""Paths of logging in and out; the site includes them at "dashboard/"."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import path

from smartqueue.pages import LoginPage, StopSeeingAsPage

urlpatterns = [
    path("login/", LoginPage.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("see-as/stop/", StopSeeingAsPage.as_view(), name="page-see-as-stop"),
]
