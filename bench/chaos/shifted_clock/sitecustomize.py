"""Found first on PYTHONPATH, this shifts the wall clock of one Python process by CHAOS_CLOCK_OFFSET_S seconds.

time.time, time.time_ns, datetime.now and datetime.utcnow answer with the shift; the monotonic clock does
not, as on a machine whose clock is set wrong. Needs no privilege and no compiler.
"""

from __future__ import annotations

import datetime as _datetime
import os
import time
from typing import Any

_OFFSET_S = float(os.environ.get("CHAOS_CLOCK_OFFSET_S", "0"))
_true = _datetime.datetime
_true_time, _true_time_ns = time.time, time.time_ns


class _AnyDatetime(type):
    """`isinstance(value, datetime)` must stay true of the ordinary ones that C code makes."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, _true)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, _true)


class _Shifted(_true, metaclass=_AnyDatetime):
    __slots__ = ()  # of the same size as the original, which C code checks

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _true(*args, **kwargs)

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _true.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Any:
        return _true.fromtimestamp(time.time(), _datetime.UTC).replace(tzinfo=None)


if _OFFSET_S:
    time.time = lambda: _true_time() + _OFFSET_S
    time.time_ns = lambda: _true_time_ns() + int(_OFFSET_S * 1e9)
    _Shifted.__name__ = _Shifted.__qualname__ = "datetime"
    _datetime.datetime = _Shifted  # type: ignore[misc]
