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
JOBS_REPLAY_MANY = "jobs.replay_many"
QUEUES_PAUSE = "queues.pause"
LIMITS_MANAGE = "limits.manage"
AUDIT_READ = "audit.read"
MEMBERS_READ = "members.read"
MEMBERS_MANAGE = "members.manage"
ORG_ADMINISTER = "org.administer"
WORKERS_CONTROL = "workers.control"
PLATFORM_READ = "platform.read"
PLATFORM_ADMINISTER = "platform.administer"

_VIEWER = frozenset({JOBS_READ, MEMBERS_READ})
_USER = _VIEWER | {JOBS_SUBMIT, JOBS_CANCEL_OWN}
_ORG_ADMIN = _USER | {
    JOBS_CANCEL_ANY,
    JOBS_REPLAY_MANY,
    QUEUES_PAUSE,
    LIMITS_MANAGE,
    AUDIT_READ,
    MEMBERS_MANAGE,
    ORG_ADMINISTER,
}
_ADMIN = _ORG_ADMIN | {WORKERS_CONTROL, PLATFORM_READ, PLATFORM_ADMINISTER}

# What each action is, for the table in docs/roles.md.
MEANING: dict[str, str] = {
    JOBS_READ: "see the jobs of the organisation, the pauses, the limits and the workers",
    JOBS_SUBMIT: "submit a job, replay one that has ended",
    JOBS_CANCEL_OWN: "cancel a job of one's own",
    JOBS_CANCEL_ANY: "cancel any job of the organisation",
    JOBS_REPLAY_MANY: "replay many dead letters at a rate",
    QUEUES_PAUSE: "pause and resume the organisation, a queue or a job type of it",
    LIMITS_MANAGE: "set and remove limits of the organisation, its queues and concurrency keys",
    AUDIT_READ: "read what people did in the organisation",
    MEMBERS_READ: "see the members",
    MEMBERS_MANAGE: "add members, change their roles",
    ORG_ADMINISTER: "enter the Django admin",
    WORKERS_CONTROL: "pause, resume and drain workers",
    PLATFORM_READ: "see what belongs to no organisation",
    PLATFORM_ADMINISTER: "everything, in every organisation",
}

ALLOWED: dict[str, frozenset[str]] = {VIEWER: _VIEWER, USER: _USER, ORG_ADMIN: _ORG_ADMIN, ADMIN: _ADMIN}


def may(role: str, action: str) -> bool:
    """Whether `role` allows `action`; False for a role that does not exist."""
    return action in ALLOWED.get(role, frozenset())
