"""A small history as a trace file: few users and names, overlapping jobs, some with a requested time."""

from __future__ import annotations

import csv
import gzip
import math
from pathlib import Path

import numpy as np

COLUMNS = ("submit_ts", "runtime_s", "tenant", "user", "name", "kind", "requested_s", "cores", "ok")
DAY_S = 86_400


def write(folder: Path, name: str, rows: int, seed: int = 7) -> None:
    rng = np.random.default_rng(seed)
    at = 10 * DAY_S
    with gzip.open(folder / f"{name}.csv.gz", "wt", newline="") as file:
        out = csv.DictWriter(file, COLUMNS)
        out.writeheader()
        for _ in range(rows):
            at += int(rng.exponential(90))
            out.writerow(_row(rng, at))


def _row(rng: np.random.Generator, at: int) -> dict[str, object]:
    tenant, user, name = (int(number) for number in rng.integers(0, (2, 4, 5)))
    runtime = round(math.exp(rng.normal(1 + name, 1)), 1)  # some are shorter than a second
    return {
        "submit_ts": at,
        "runtime_s": runtime,
        "tenant": f"t{tenant}",
        "user": f"u{user}",
        "name": f"n{name}",
        "kind": "etl" if name % 2 else "ml",
        "requested_s": rng.choice(["", "60", "600"]),
        "cores": rng.choice(["", "1", "8"]),
        "ok": rng.choice(["", "1", "0"]),
    }
