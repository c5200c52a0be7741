"""Tells whoever wants to know that an organisation's standing, or what the platform grants it, is another one.

`jobs` holds back what a closed organisation has queued, and keeps its limits within the grant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, ParamSpec

from orgs.models import Organization

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Grant:
    """The most jobs that may run and wait at once; None: any number."""

    running: int | None
    queued: int | None

    @classmethod
    def of(cls, org: Organization) -> Grant:
        return cls(org.granted_running, org.granted_queued)


class Announcement(Generic[P]):
    """Listeners are called in the transaction of each change, in the order in which they came."""

    def __init__(self) -> None:
        self._listeners: list[Callable[P, None]] = []

    def when_made(self, listener: Callable[P, None]) -> None:
        if listener not in self._listeners:
            self._listeners.append(listener)

    def make(self, *args: P.args, **named: P.kwargs) -> None:
        for listener in self._listeners:
            listener(*args, **named)


# (organisation): it is suspended, resumed, to be deleted, or taken back.
standing_changed: Announcement[[Organization]] = Announcement()
# (organisation, what was granted before)
grant_changed: Announcement[[Organization, Grant]] = Announcement()
