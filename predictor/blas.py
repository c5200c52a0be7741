"""Keeps linear algebra on one thread.

The network's products are too small to gain from more, and on a machine whose cores are busy with jobs the
threads of one product wait for each other: the same batch then takes up to twenty times as long.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np  # noqa: F401 - the controller finds only libraries that are loaded
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


def one_thread() -> AbstractContextManager[Any]:
    """Within it, one thread per product; costs some 30 microseconds."""
    limit: AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return limit


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
