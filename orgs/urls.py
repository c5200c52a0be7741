"""Paths of the accounts and organisations API; the root of the site includes them at "/"."""

from __future__ import annotations

from django.urls import path

from orgs import api

urlpatterns = [
    path("auth/register", api.RegisterView.as_view(), name="auth-register"),
    path("auth/login", api.LoginView.as_view(), name="auth-login"),
    path("auth/users", api.UserListView.as_view(), name="auth-users"),
    path("orgs/", api.OrganizationCreateView.as_view(), name="orgs-create"),
    path("orgs/me", api.OwnOrganizationView.as_view(), name="orgs-me"),
    path("orgs/me/members", api.MemberListView.as_view(), name="orgs-me-members"),
    path("orgs/me/audit", api.AuditView.as_view(), name="orgs-me-audit"),
    path("orgs/<int:org_id>/invite", api.InviteView.as_view(), name="orgs-invite"),
]
