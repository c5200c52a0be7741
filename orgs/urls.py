"""Paths of the accounts and organisations API; the root of the site includes them at "/"."""

from __future__ import annotations

from django.urls import path

from orgs import api, keys_api, life_api, members_api, token_api

urlpatterns = [
    path("auth/register", api.RegisterView.as_view(), name="auth-register"),
    path("auth/login", api.LoginView.as_view(), name="auth-login"),
    path("auth/refresh", token_api.RefreshView.as_view(), name="auth-refresh"),
    path("auth/logout", token_api.LogoutView.as_view(), name="auth-logout"),
    path("auth/users", api.UserListView.as_view(), name="auth-users"),
    path("orgs/", life_api.OrganizationListView.as_view(), name="orgs-create"),
    path("orgs/me", life_api.OwnOrganizationView.as_view(), name="orgs-me"),
    path("orgs/me/restore", life_api.RestoreView.as_view(), name="orgs-me-restore"),
    path("orgs/me/leave", members_api.LeaveView.as_view(), name="orgs-me-leave"),
    path("orgs/me/hand-over", members_api.HandOverView.as_view(), name="orgs-me-hand-over"),
    path("orgs/me/members", api.MemberListView.as_view(), name="orgs-me-members"),
    path("orgs/me/members/<int:user_id>", members_api.MemberView.as_view(), name="orgs-me-member"),
    path("orgs/me/invitations", members_api.InvitationListView.as_view(), name="orgs-me-invitations"),
    path(
        "orgs/me/invitations/<int:invitation_id>",
        members_api.InvitationView.as_view(),
        name="orgs-me-invitation",
    ),
    path("invitations/accept", members_api.AcceptView.as_view(), name="invitations-accept"),
    path("orgs/<int:org_id>", life_api.OrganizationView.as_view(), name="orgs-one"),
    path("orgs/<int:org_id>/suspend", life_api.SuspendView.as_view(), name="orgs-suspend"),
    path("orgs/<int:org_id>/resume", life_api.ResumeView.as_view(), name="orgs-resume"),
    path("orgs/me/audit", api.AuditView.as_view(), name="orgs-me-audit"),
    path("orgs/me/keys", keys_api.KeyListView.as_view(), name="orgs-me-keys"),
    path("orgs/me/keys/<int:key_id>", keys_api.KeyView.as_view(), name="orgs-me-key"),
    path("orgs/<int:org_id>/invite", api.InviteView.as_view(), name="orgs-invite"),
]
