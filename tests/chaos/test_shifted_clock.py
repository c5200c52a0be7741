"""The shim must shift what the product reads as the time, and nothing else; else its scenario tests nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from bench.chaos.worker_faults import HOUR_S, shifted

ASK = """
import datetime, json, time
from datetime import UTC
from django.conf import settings
from django.utils import timezone
settings.configure(USE_TZ=True)
now = datetime.datetime.now(UTC)
print(json.dumps({
    "clocks": [time.time(), time.time_ns() / 1e9, now.timestamp(), timezone.now().timestamp()],
    "monotonic": time.monotonic(),
    "is": isinstance(now, datetime.datetime) and isinstance(datetime.datetime(2030, 1, 31), datetime.datetime),
    "parsed": datetime.datetime.fromisoformat("2030-01-31T08:00:00+00:00").isoformat(),
}))
"""


def test_wall_clocks_are_an_hour_ahead_and_the_monotonic_one_is_not() -> None:
    before, monotonic = time.time(), time.monotonic()
    answer = subprocess.run(
        [sys.executable, "-c", ASK],
        env={"PATH": "", **shifted(HOUR_S)},
        cwd=Path(__file__).parent,
        capture_output=True,
        check=True,
        text=True,
    )
    said, after = json.loads(answer.stdout), time.time()
    assert all(before <= clock - HOUR_S <= after for clock in said["clocks"])
    assert monotonic <= said["monotonic"] <= time.monotonic()
    assert said["is"]
    assert said["parsed"] == "2030-01-31T08:00:00+00:00"
    assert answer.stderr == ""
