"""Markdown tables on standard output, and what the bench says about itself while it runs."""

from __future__ import annotations

import math
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print one table; numbers are aligned to the right, floats shown with as many digits as they deserve."""
    print(f"\n### {title}\n")
    print("| " + " | ".join(columns) + " |")
    numeric = [
        bool(rows) and all(isinstance(row[i], int | float) or row[i] == "-" for row in rows)
        for i in range(len(columns))
    ]
    print("|" + "|".join("--:" if number else "---" for number in numeric) + "|")
    for row in rows:
        print("| " + " | ".join(shown(cell) for cell in row) + " |")
    sys.stdout.flush()


def shown(cell: object) -> str:
    if not isinstance(cell, float):
        return f"{cell:,}" if isinstance(cell, int) else str(cell)
    if math.isnan(cell):
        return "-"
    size = abs(cell)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{cell:,.{digits}f}"


def say(text: str) -> None:
    """A line of progress on standard error, so that the tables can be piped away."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def percentile(values: Sequence[float], percent: int) -> float:
    """The `percent`-th percentile, 1 to 99; a single value is its own percentile."""
    return (
        statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]
    )


def machine() -> str:
    """One line that says where the figures come from."""
    system = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores, {_memory_gb():.0f} GiB, {system}, Python {platform.python_version()}"


def _memory_gb() -> float:
    try:
        line = Path("/proc/meminfo").read_text().splitlines()[0]
    except OSError:
        return float("nan")
    return int(line.split()[1]) / 2**20
