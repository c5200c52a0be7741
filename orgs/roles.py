"""Roles and what each may do: one pure table that API, pages, admin and sockets ask, and nothing else."""

from __future__ import annotations

ADMIN, ORG_ADMIN, USER, VIEWER = "admin", "org_admin", "user", "viewer"

ROLES: dict[str, str] = {
    ADMIN: "Platform admin: all organisations",
    ORG_ADMIN: "Org admin: runs one organisation",
    USER: "User: submits jobs, cancels own jobs",
    VIEWER: "Viewer: reads",
}

JOBS_READ = "jobs.read"
JOBS_SUBMIT = "jobs.submit"
JOBS_CANCEL_OWN = "jobs.cancel_own"
JOBS_CANCEL_ANY = "jobs.cancel_any"
MEMBERS_READ = "members.read"
MEMBERS_MANAGE = "members.manage"
ORG_ADMINISTER = "org.administer"
PLATFORM_READ = "platform.read"
PLATFORM_ADMINISTER = "platform.administer"

_VIEWER = frozenset({JOBS_READ, MEMBERS_READ})
_USER = _VIEWER | {JOBS_SUBMIT, JOBS_CANCEL_OWN}
_ORG_ADMIN = _USER | {JOBS_CANCEL_ANY, MEMBERS_MANAGE, ORG_ADMINISTER}
_ADMIN = _ORG_ADMIN | {PLATFORM_READ, PLATFORM_ADMINISTER}

ALLOWED: dict[str, frozenset[str]] = {VIEWER: _VIEWER, USER: _USER, ORG_ADMIN: _ORG_ADMIN, ADMIN: _ADMIN}


def may(role: str, action: str) -> bool:
    """Whether `role` allows `action`; False for a role that does not exist."""
    return action in ALLOWED.get(role, frozenset())
