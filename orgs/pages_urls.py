"""Paths of the pages of organisations; the site includes them at "dashboard/"."""

from __future__ import annotations

from django.urls import path

from orgs import join_pages, key_pages, org_pages

urlpatterns = [
    path("register/", join_pages.RegisterPage.as_view(), name="page-register"),
    path("join/", join_pages.JoinPage.as_view(), name="page-join"),
    path("organisation/", org_pages.OrganizationPage.as_view(), name="page-organisation"),
    path("organisation/new/", org_pages.CreatePage.as_view(), name="page-organisation-new"),
    path("organisation/members/<int:user_id>/", org_pages.MemberRolePage.as_view(), name="page-member"),
    path(
        "organisation/members/<int:user_id>/remove/",
        org_pages.RemoveMemberPage.as_view(),
        name="page-member-remove",
    ),
    path("organisation/invitations/new/", join_pages.InvitePage.as_view(), name="page-invite"),
    path(
        "organisation/invitations/<int:invitation_id>/revoke/",
        join_pages.RevokeInvitationPage.as_view(),
        name="page-invitation-revoke",
    ),
    path("organisation/leave/", org_pages.LeavePage.as_view(), name="page-leave"),
    path("organisation/hand-over/", org_pages.HandOverPage.as_view(), name="page-hand-over"),
    path("organisation/delete/", org_pages.DeletePage.as_view(), name="page-organisation-delete"),
    path("organisation/restore/", org_pages.RestorePage.as_view(), name="page-organisation-restore"),
    path("keys/", key_pages.KeysPage.as_view(), name="page-keys"),
    path("keys/new/", key_pages.NewKeyPage.as_view(), name="page-key-new"),
    path("keys/<int:key_id>/revoke/", key_pages.RevokeKeyPage.as_view(), name="page-key-revoke"),
]
