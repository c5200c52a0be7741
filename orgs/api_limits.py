"""How many requests a user and an organisation may send to the API: settings.RATE_USER and settings.RATE_ORG.

A write to the shared counter for each request would cost more than many a request: about 1 ms, against 5 us from
memory and 8 us on average with the default rates (user and organisation together, measured on two shared cores). So a
process takes a block of requests from the counter (a fiftieth of the limit) and hands them out from memory. All blocks
of a window together are exactly the limit: never is more let through, whatever the number of processes. What a process
holds and does not use is lost to the others until the window ends, at most a fiftieth of the limit for each of them;
limits below 100 are counted one by one. Called by REST framework (`ApiThrottle`) and by smartqueue.quick_submit.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django_ratelimit.core import get_usage
from rest_framework.throttling import BaseThrottle

from orgs.exceptions import RateLimited
from orgs.models import User

if TYPE_CHECKING:  # REST framework imports this module while it defines APIView
    from rest_framework.request import Request
    from rest_framework.views import APIView

BLOCKS = 50
MOST_HELD = 20_000


@dataclass(slots=True)
class _Held:
    """Requests that this process may still let through until the end of a window (Unix time)."""

    until: int
    left: int = 0
    used_up: bool = False  # by all processes together


class SharedLimit:
    """One kind of limit, for any number of users or organisations."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._held: dict[tuple[str, str], _Held] = {}
        self._lock = threading.Lock()

    def count(self, who: str, rate: str) -> None:
        """Count one request of `who`; raises RateLimited when `rate`, number/period, is used up."""
        with self._lock:
            held = self._current(who, rate)
            if held is not None and held.left:
                held.left -= 1
                return
        if held is not None and held.used_up:
            raise _refusal(held.until - int(time.time()))
        self._take_block(who, rate)

    def give_back(self, who: str, rate: str) -> None:
        """Undo a `count`: the request is counted elsewhere, or was not served."""
        with self._lock:
            if (held := self._current(who, rate)) is not None:
                held.left += 1

    def forget(self) -> None:
        """Hold nothing."""
        with self._lock:
            self._held.clear()

    def _current(self, who: str, rate: str) -> _Held | None:
        held = self._held.get((who, rate))
        return held if held is not None and time.time() < held.until + 1 else None

    def _take_block(self, who: str, rate: str) -> None:
        """A block more, of which one request is used. The lock is not held while the database answers."""
        size, blocks, last = _blocks_of(rate)
        # Before the limiter looks at the clock: a block must not outlive its window.
        now = int(time.time())
        per_period = f"{blocks}/{rate.partition('/')[2]}"
        # Another rate has blocks of another size, so its count is another one.
        group = f"{self._group} {rate}"
        usage = get_usage(None, group=group, key=lambda *_: who, rate=per_period, increment=True)
        if usage is None:  # settings.RATELIMIT_ENABLE is off
            return
        refused = usage["should_limit"]
        got = 0 if refused else (last if usage["count"] == blocks else size) - 1
        self._keep(who, rate, _Held(now + usage["time_left"], got, used_up=refused))
        if refused:
            raise _refusal(usage["time_left"])

    def _keep(self, who: str, rate: str, new: _Held) -> None:
        with self._lock:
            old = self._current(who, rate)
            if old is not None and old.until == new.until:
                new.left += old.left
            if len(self._held) >= MOST_HELD:
                self._make_room()
            self._held[who, rate] = new

    def _make_room(self) -> None:
        now = time.time()
        self._held = {key: held for key, held in self._held.items() if now < held.until + 1}
        if len(self._held) >= MOST_HELD:
            self._held.clear()


_of_users, _of_orgs = SharedLimit("api.user"), SharedLimit("api.org")


class ApiThrottle(BaseThrottle):
    """For REST_FRAMEWORK["DEFAULT_THROTTLE_CLASSES"]. Visitors have the limits of the doors instead."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        if isinstance(request.user, User):
            count(request.user)
        return True


def count(user: User | None) -> None:
    """Count one request of `user` and of the user's organisation; raises RateLimited."""
    counted: list[tuple[SharedLimit, str, str]] = []
    for limit, who, rate in _limits_of(user):
        try:
            limit.count(who, rate)
        except RateLimited:
            for earlier, *of_whom in counted:
                earlier.give_back(*of_whom)
            raise
        counted.append((limit, who, rate))


def give_back(user: User | None) -> None:
    """Undo one `count` of this process."""
    for limit, who, rate in _limits_of(user):
        limit.give_back(who, rate)


def forget() -> None:
    """Hold no block of anybody: for tests, which begin with empty counters."""
    _of_users.forget()
    _of_orgs.forget()


def _limits_of(user: User | None) -> list[tuple[SharedLimit, str, str]]:
    """The limits in force, the organisation's last; none for nobody."""
    if user is None:
        return []
    found: list[tuple[SharedLimit, Any, str]] = [
        (_of_users, user.pk, settings.RATE_USER),
        (_of_orgs, user.org_id, settings.RATE_ORG),
    ]
    return [(limit, str(who), rate) for limit, who, rate in found if who and rate]


def _blocks_of(rate: str) -> tuple[int, int, int]:
    """Size of a block, number of blocks, size of the last one: together the limit."""
    most = int(rate.partition("/")[0])
    size = max(1, most // BLOCKS)
    blocks = -(-most // size)
    return size, blocks, most - size * (blocks - 1)


def _refusal(seconds: int) -> RateLimited:
    return RateLimited(retry_after_s=max(1, seconds))
