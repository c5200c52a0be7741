"""Waiting for a condition, in place of sleeps: a test goes on as soon as it holds and says what did not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 10.0, message: str = "") -> T:
    """The first true value of `condition`, asked every 20 ms; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{message or 'the condition'}: still {value!r} after {timeout:g} s")
        time.sleep(0.02)
    return value
