"""Whether the product says which session holds back the clean-up: /readyz and /metrics, as a monitor asks them."""

from __future__ import annotations

import re
import time

WAIT_S = 10.0
METRIC = re.compile(r'^smartqueue_oldest_snapshot_seconds\{.*pid="(\d+)"', re.MULTILINE)


def names(pid: int) -> bool:
    """True once both name this pid, False when they do not within 10 s."""
    deadline = time.monotonic() + WAIT_S
    while not (_readyz() == pid and _metrics() == pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _readyz() -> int | None:
    answer = _get("/readyz")
    warnings = [one for one in answer.json().get("warnings", []) if one["code"] == "old_snapshot"]
    return warnings[0]["pid"] if warnings else None


def _metrics() -> int | None:
    found = METRIC.search(_get("/metrics").content.decode())
    return int(found[1]) if found else None


def _get(path: str):  # type: ignore[no-untyped-def]
    from django.test import Client

    return Client(HTTP_HOST="localhost").get(path)
