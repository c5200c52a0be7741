"""Slows down guessing of passwords, without letting the guesser lock anybody out. The rule is in orgs.login_rules.

Every door that takes a password comes through `orgs.admission.PasswordBackend`, and so through `guarded`: the API's
login, the page, the admin. Nobody waits here: an attempt within a pause is refused with 429 and `Retry-After`.
An address from which an account came in before (`KNOWN_S`) is never refused for that account, whatever others do;
settings.RATE_LOGIN bounds what is tried from there. Names that do not exist are counted and answered as others are.

An attempt is counted before the password is looked at, and taken back when it was right: of many at once no more get
through than of one after the other. The counts live in the shared cache and are forgotten `FORGET_S` after the last
failure; the names in its keys are hashed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.http import HttpRequest

from orgs import audit, walls
from orgs.client_address import network_of
from orgs.exceptions import RateLimited
from orgs.limits import counted_address
from orgs.login_rules import is_noted, pause_s
from orgs.models import User

FORGET_S = 3600
# Strangers who guess make this pause for everybody who comes from a new address.
LONGEST_OF_ACCOUNT_S = 8
KNOWN_S = 90 * 86_400


@dataclass(frozen=True, slots=True)
class _Counted:
    """One count of failures, and the gate that is shut during a pause."""

    name: str
    free: int
    longest_s: int

    @property
    def failures(self) -> str:
        return f"login:failures:{self.name}"

    @property
    def gate(self) -> str:
        return f"login:gate:{self.name}"


class _Attempt:
    """One attempt to log in as `username` from the address of `request`."""

    def __init__(self, request: HttpRequest, username: str) -> None:
        account = hashlib.sha256(User.normalize_username(username).encode("utf-8", "replace")).hexdigest()
        address = network_of(counted_address(request))
        self._username = username
        longest_s = settings.LOGIN_LONGEST_WAIT_S
        self._pair = _Counted(f"{account}@{address}", settings.LOGIN_FREE, longest_s)
        self._account = _Counted(account, settings.LOGIN_FREE_ACCOUNT, min(longest_s, LONGEST_OF_ACCOUNT_S))
        self._address = _Counted(f"@{address}", settings.LOGIN_FREE_ADDRESS, longest_s)
        self._known = f"login:known:{self._pair.name}"
        self._counts: dict[_Counted, int] = {}
        self._shut: list[str] = []

    def begin(self) -> None:
        """Count it; raises RateLimited within a pause."""
        known = cache.get(self._known)
        self._counts = {one: _add_one(one.failures) for one in (self._pair, self._account, self._address)}
        if known:
            return
        for one, attempt in self._counts.items():
            self._pass_gate(one, attempt)

    def take_back(self) -> None:
        """It was right, or not made."""
        cache.delete_many(self._shut)
        for one in self._counts:
            _take_one(one.failures)

    def succeeded(self) -> None:
        self.take_back()
        cache.delete_many([self._pair.failures, self._pair.gate])
        cache.set(self._known, True, KNOWN_S)

    def failed(self) -> None:
        for one, attempt in self._counts.items():
            if attempt > 1:
                cache.touch(one.failures, FORGET_S)
        attempt = self._counts[self._account]
        if is_noted(attempt, (self._pair.free, self._account.free)):
            _note(self._username, attempt)

    def _pass_gate(self, one: _Counted, attempt: int) -> None:
        """Whoever shuts the gate is through; it opens by itself."""
        pause = pause_s(attempt, free=one.free, longest_s=one.longest_s)
        if not pause:
            return
        if not cache.add(one.gate, int(time.time()) + pause, pause):
            opens = cache.get(one.gate, 0)
            self.take_back()
            left = max(1, min(opens - int(time.time()), one.longest_s))
            raise RateLimited(retry_after_s=left, what="failed logins")
        self._shut.append(one.gate)


def guarded(request: HttpRequest, username: str, check: Callable[[], User | None]) -> User | None:
    """What `check`, which looks at the password, answers. Raises RateLimited instead of asking it within a pause.

    Call it outside of a transaction.
    """
    attempt = _Attempt(request, username)
    attempt.begin()
    try:
        user = check()
    except BaseException:
        attempt.take_back()
        raise
    if user is None:
        attempt.failed()
    else:
        attempt.succeeded()
    return user


def _add_one(key: str) -> int:
    if cache.add(key, 1, FORGET_S):
        return 1
    try:
        return cache.incr(key)
    except ValueError:  # forgotten in between
        cache.add(key, 1, FORGET_S)
        return 1


def _take_one(key: str) -> None:
    try:
        cache.incr(key, -1)
    except ValueError:
        return  # forgotten in between


@walls.everything()
def _note(username: str, failures: int) -> None:
    """In the log of the account's organisation, of the platform for one without; nothing for a name of nobody."""
    user = User.objects.select_related("org").filter(username=username).first()
    if user is None:
        return
    with transaction.atomic():
        details = {"failures": failures}
        audit.record(
            org=user.org, user=None, action="user.login_failed", target=user.username, details=details
        )
