"""Roles and what each may do: one pure table that API, pages, admin and sockets ask, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

ADMIN, ORG_ADMIN, USER, VIEWER = "admin", "org_admin", "user", "viewer"

ROLES: dict[str, str] = {
    ADMIN: "Platform admin: all organisations",
    ORG_ADMIN: "Org admin: runs one organisation",
    USER: "User: submits jobs, cancels own jobs",
    VIEWER: "Viewer: reads",
}

# What org admins give; their API keys give less, for whoever gets a role can log in.
GRANTED_BY_ORG_ADMINS = (ORG_ADMIN, USER, VIEWER)
GRANTED_BY_KEYS = (USER, VIEWER)

JOBS_READ = "jobs.read"
JOBS_CONTENT = "jobs.content"
JOBS_SUBMIT = "jobs.submit"
JOBS_CANCEL_OWN = "jobs.cancel_own"
JOBS_CANCEL_ANY = "jobs.cancel_any"
JOBS_REPLAY_MANY = "jobs.replay_many"
QUEUES_PAUSE = "queues.pause"
LIMITS_MANAGE = "limits.manage"
AUDIT_READ = "audit.read"
MEMBERS_READ = "members.read"
MEMBERS_MANAGE = "members.manage"
KEYS_OWN = "keys.own"
KEYS_MANAGE = "keys.manage"
ORG_MANAGE = "org.manage"
ORG_ADMINISTER = "org.administer"
WORKERS_CONTROL = "workers.control"
PLATFORM_READ = "platform.read"
PLATFORM_ADMINISTER = "platform.administer"

_VIEWER = frozenset({JOBS_READ, MEMBERS_READ})
_USER = _VIEWER | {JOBS_CONTENT, JOBS_SUBMIT, JOBS_CANCEL_OWN, KEYS_OWN}
_ORG_ADMIN = _USER | {
    JOBS_CANCEL_ANY,
    JOBS_REPLAY_MANY,
    QUEUES_PAUSE,
    LIMITS_MANAGE,
    AUDIT_READ,
    MEMBERS_MANAGE,
    KEYS_MANAGE,
    ORG_MANAGE,
    ORG_ADMINISTER,
}
_ADMIN = _ORG_ADMIN | {WORKERS_CONTROL, PLATFORM_READ, PLATFORM_ADMINISTER}

# What each action is, for the table in docs/roles.md.
MEANING: dict[str, str] = {
    JOBS_READ: "see the jobs of the organisation, the pauses, the limits and the workers",
    JOBS_CONTENT: "see payloads, results and output of jobs",
    JOBS_SUBMIT: "submit a job, replay one that has ended",
    JOBS_CANCEL_OWN: "cancel a job of one's own",
    JOBS_CANCEL_ANY: "cancel any job of the organisation",
    JOBS_REPLAY_MANY: "replay many dead letters at a rate",
    QUEUES_PAUSE: "pause and resume the organisation, a queue or a job type of it",
    LIMITS_MANAGE: "set and remove limits of the organisation, its queues and concurrency keys",
    AUDIT_READ: "read what people did in the organisation",
    MEMBERS_READ: "see the members",
    MEMBERS_MANAGE: "invite people, change members' roles, remove them",
    KEYS_OWN: "make and revoke API keys of one's own",
    KEYS_MANAGE: "see and revoke every API key of the organisation",
    ORG_MANAGE: "change the organisation's settings, hand it over, delete it",
    ORG_ADMINISTER: "enter the Django admin",
    WORKERS_CONTROL: "pause, resume and drain workers",
    PLATFORM_READ: "see what belongs to no organisation",
    PLATFORM_ADMINISTER: "everything, in every organisation",
}

ALLOWED: dict[str, frozenset[str]] = {VIEWER: _VIEWER, USER: _USER, ORG_ADMIN: _ORG_ADMIN, ADMIN: _ADMIN}
# What a role may do only where the organisation allows it.
IF_ORG_ALLOWS: dict[str, frozenset[str]] = {VIEWER: frozenset({JOBS_CONTENT})}

# What is left to the org admins of an organisation that is to be deleted, until it is or they take it back.
WHILE_CLOSING: dict[str, frozenset[str]] = {
    ORG_ADMIN: frozenset({JOBS_READ, JOBS_CONTENT, AUDIT_READ, MEMBERS_READ, ORG_MANAGE, ORG_ADMINISTER})
}

# What each scope of an API key covers; whose key it is must be allowed the action as well.
SCOPES: dict[str, frozenset[str]] = {
    "jobs:read": frozenset({JOBS_READ, JOBS_CONTENT}),
    "jobs:write": frozenset({JOBS_SUBMIT, JOBS_CANCEL_OWN, JOBS_CANCEL_ANY, JOBS_REPLAY_MANY}),
    "queues:write": frozenset({QUEUES_PAUSE, LIMITS_MANAGE}),
    "members:read": frozenset({MEMBERS_READ}),
    "members:write": frozenset({MEMBERS_MANAGE}),
    "audit:read": frozenset({AUDIT_READ}),
    "platform:write": frozenset({WORKERS_CONTROL, PLATFORM_READ, PLATFORM_ADMINISTER}),
}


def may(role: str, action: str) -> bool:
    """Whether `role` allows `action`; False for a role that does not exist."""
    return action in ALLOWED.get(role, frozenset())


def may_if_org_allows(role: str, action: str) -> bool:
    """Whether `role` allows `action` in an organisation that has said so."""
    return action in IF_ORG_ALLOWS.get(role, frozenset())


def may_while_closing(role: str, action: str) -> bool:
    """Whether `role` allows `action` in an organisation that is to be deleted."""
    return action in WHILE_CLOSING.get(role, frozenset())


def covers(scopes: Iterable[str], action: str) -> bool:
    """Whether one of `scopes` covers `action`; unknown scopes cover nothing."""
    return any(action in SCOPES.get(scope, frozenset()) for scope in scopes)
