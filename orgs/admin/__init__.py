"""Organisations, their people and their doors in the Django admin; `autodiscover` imports this.

An org admin sees the own organisation. A platform admin sees all of them, or one: see `orgs.see_as`.
"""

from __future__ import annotations

from orgs.admin.access import ApiKeyAdmin, InvitationAdmin
from orgs.admin.audit import AuditEntryAdmin
from orgs.admin.members import UserAdmin
from orgs.admin.organisation import OrganizationAdmin

__all__ = ["ApiKeyAdmin", "AuditEntryAdmin", "InvitationAdmin", "OrganizationAdmin", "UserAdmin"]
