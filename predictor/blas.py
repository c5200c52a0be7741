"""Keeps linear algebra on one thread.

The network's products are too small to gain from more, and on a machine whose cores are busy with jobs the
threads of one product wait for each other: the same batch then takes up to twenty times as long. Nothing
else in a process that predicts or trains multiplies matrices, so it is said once, and for good.
"""

from __future__ import annotations

from functools import cache

import numpy as np  # noqa: F401 - the controller finds only libraries that are loaded
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]


@cache
def use_one_thread() -> None:
    """One thread per product, from now on in this process."""
    ThreadpoolController().limit(limits=1, user_api="blas")
