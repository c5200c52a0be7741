"""What is known of the request at hand, for the audit log: where it comes from, its id, the API key it came by.

Set by smartqueue.middleware for HTTP; elsewhere (commands, workers) there is no request and every fact is empty.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class RequestFacts:
    """`ip` is the client's address as orgs.limits sees it; `key_id` is filled in when the request is authenticated."""

    ip: str | None = None
    request_id: str = ""
    key_id: int | None = None


# What proxies send: letters, digits and a few signs that cannot break a log line.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:=+/-]{1,64}")

_current: ContextVar[RequestFacts | None] = ContextVar("request_facts", default=None)


def current() -> RequestFacts:
    """The facts of this request; empty ones outside of any."""
    return _current.get() or RequestFacts()


def are_known() -> bool:
    """Whether a request is being served."""
    return _current.get() is not None


def request_id(sent: str) -> str:
    """The id of a request: the one that came with it in `X-Request-ID`, or a new one."""
    return sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex


@contextmanager
def during(facts: RequestFacts) -> Iterator[RequestFacts]:
    """Has `current` answer `facts` within the block, in this thread."""
    token = _current.set(facts)
    try:
        yield facts
    finally:
        _current.reset(token)
