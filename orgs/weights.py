"""Tells whoever wants to know that an organisation has another weight; `jobs` looks at its closed flows again."""

from __future__ import annotations

from collections.abc import Callable

_listeners: list[Callable[[], None]] = []


def when_changed(listener: Callable[[], None]) -> None:
    """Have `listener` called in the transaction of each change."""
    if listener not in _listeners:
        _listeners.append(listener)


def changed() -> None:
    for listener in _listeners:
        listener()
