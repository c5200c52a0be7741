"""The second wall: row-level security in PostgreSQL, behind the tenant filter of `orgs.scoping`.

Inside `only(...)` or `everything()` each statement of this thread runs as the role ROLE, which cannot bypass the
policies, with the organisations it may reach set for its transaction. Web processes call `close_by_default`: there a
statement outside of both reaches no row of any organisation. Workers, schedulers and commands keep the role that they
log in with, which owns the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

ROLE = "smartqueue_web"
SETTING = "smartqueue.orgs"
NOTHING, EVERYTHING = "", "*"

# The value of SETTING; None: the process's own role, no wall.
_reach: ContextVar[str | None] = ContextVar("walls_reach", default=None)


@contextmanager
def everything() -> Iterator[None]:
    """For platform admins, and for what has to look before it is known who asks: keep the block short."""
    with _reaching(EVERYTHING):
        yield


@contextmanager
def only(*org_ids: int | None) -> Iterator[None]:
    """Rows of these organisations, and no others; None stands for no organisation."""
    with _reaching(_as_setting(org_ids)):
        yield


@contextmanager
def _reaching(value: str) -> Iterator[None]:
    token = _reach.set(value)
    try:
        yield
    finally:
        _reach.reset(token)


def _as_setting(org_ids: Iterable[int | None]) -> str:
    return ",".join(str(int(org_id)) for org_id in org_ids if org_id is not None)
