"""The base of every error that a caller may see; its docstring is its message.

The API turns these into `{"error": {"code", "message", "fields"?}}`, pages into a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping


class SmartQueueError(Exception):
    """The request could not be carried out."""

    code = "error"
    http_status = 400
    retry_after_s: int | None = None

    def __init__(self, message: str = "", *, fields: Mapping[str, list[str]] | None = None) -> None:
        self.message = message or " ".join((type(self).__doc__ or "").split())
        self.fields = dict(fields or {})
        super().__init__(self.message)


class InvalidInput(SmartQueueError):
    """Some fields cannot be used as they are; see `fields`."""

    code = "invalid"

    def __init__(self, message: str = "", *, fields: Mapping[str, list[str]] | None = None) -> None:
        if fields and len(fields) == 1:
            ((name, sentences),) = fields.items()
            message = message or f"{name}: {' '.join(sentences)}"[:500]
        super().__init__(message, fields=fields)


class NotFound(SmartQueueError):
    """There is nothing here, or nothing that you may see."""

    code = "not_found"
    http_status = 404


class Forbidden(SmartQueueError):
    """Your role does not allow this."""

    code = "forbidden"
    http_status = 403


class MissingScope(Forbidden):
    """The API key has no scope that covers this."""

    code = "insufficient_scope"


class NoOrganization(SmartQueueError):
    """You belong to no organisation yet: create one with POST /orgs/, or ask an org admin to invite you."""

    code = "no_organization"
    http_status = 403


class OrganizationClosed(SmartQueueError):
    """Your organisation is suspended: ask the platform's administrators."""

    code = "organization_suspended"
    http_status = 403


class OrganizationClosing(OrganizationClosed):
    """Your organisation is to be deleted: only its org admins come in, to read and to take that back."""

    code = "organization_closing"


class LockedOut(OrganizationClosed):
    """A password or refresh token is right, but the organisation's state keeps its user out."""

    http_status = 401

    def __init__(self, closed: OrganizationClosed) -> None:
        super().__init__(closed.message)
        self.code = closed.code


class Conflict(SmartQueueError):
    """This contradicts what is there already."""

    code = "conflict"
    http_status = 409


class TooLarge(SmartQueueError):
    """The body of the request is too large."""

    code = "too_large"
    http_status = 413


class InvalidCredentials(SmartQueueError):
    """No active user has this username and password."""

    code = "invalid_credentials"
    http_status = 401


class RateLimited(SmartQueueError):
    """Too many requests: wait before the next one."""

    code = "rate_limited"
    http_status = 429

    def __init__(self, *, retry_after_s: int, what: str = "requests") -> None:
        super().__init__(f"Too many {what}: try again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s
