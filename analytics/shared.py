"""Numbers that many watchers of one organisation ask for at once are loaded once.

In the memory of one process, for `FRESH_S`. Who calls with more than the user (a time, say) gets numbers
of its own. Used by `analytics.selectors` alone.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Concatenate, ParamSpec, TypeVar

from orgs.models import User

FRESH_S = 2.0

P = ParamSpec("P")
T = TypeVar("T")
Key = tuple[str, int | None]

_lock = threading.Lock()
_loads: dict[Key, tuple[float, Future[Any]]] = {}


def shared(load: Callable[Concatenate[User, P], T]) -> Callable[Concatenate[User, P], T]:
    """`load(user)` at most once in `FRESH_S` for all who see the same rows; a failure is not kept."""

    @functools.wraps(load)
    def answer(user: User, *args: P.args, **kwargs: P.kwargs) -> T:
        if args or kwargs or not _sees_rows(user):
            return load(user, *args, **kwargs)
        key = (load.__name__, None if user.sees_all else user.seen_org_id)
        found, is_ours = _load_of(key)
        if is_ours:
            _carry_out(key, found, lambda: load(user, *args, **kwargs))
        result: T = found.result()
        return result

    return answer


def clear() -> None:
    """Forget everything: for tests, which change what is behind the numbers and look again."""
    with _lock:
        _loads.clear()


def _sees_rows(user: User) -> bool:
    return user.is_active and (user.sees_all or user.seen_org_id is not None)


def _load_of(key: Key) -> tuple[Future[Any], bool]:
    """The load to wait for, and whether the caller must carry it out."""
    now = time.monotonic()
    with _lock:
        for old in [name for name, (begun, load) in _loads.items() if begun <= now - FRESH_S and load.done()]:
            del _loads[old]
        if key in _loads:
            return _loads[key][1], False
        load: Future[Any] = Future()
        _loads[key] = (now, load)
        return load, True


def _carry_out(key: Key, load: Future[Any], work: Callable[[], Any]) -> None:
    try:
        load.set_result(work())
    except BaseException as error:
        with _lock:
            if _loads.get(key, (0.0, None))[1] is load:
                del _loads[key]
        load.set_exception(error)
