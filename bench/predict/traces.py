"""Execution histories as columns: one gzipped CSV per trace, sorted by the time of submission.

The folder's README says what the columns mean. Runtimes below a second count as one second.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

TRACES = ("alibaba_genai", "gha_jobs", "linkerd_ci", "nasa_ipsc", "sdsc_blue", "hpc2n", "kth_sp2")
DEFAULT_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "traces"
PARTS = 10  # the first is history only; learned models are trained again as each of the others begins
SHORTEST_S = 1.0


@dataclass(frozen=True)
class Trace:
    """N jobs in order of submission. Times in seconds; NaN where a number is not known."""

    name: str
    submit: Floats
    runtime: Floats
    requested: Floats
    cores: Floats
    ok: Floats
    tenants: Sequence[str]
    users: Sequence[str]
    jobs: Sequence[str]
    kinds: Sequence[str]

    def __len__(self) -> int:
        return len(self.submit)

    @property
    def ended(self) -> Floats:
        """When each outcome became known: a job is taken to start as it is submitted."""
        return self.submit + self.runtime

    @property
    def starts_of_parts(self) -> list[int]:
        """The first row of each scored part."""
        return [part * len(self) // PARTS for part in range(1, PARTS)]

    @property
    def first_scored(self) -> int:
        return len(self) // PARTS

    def capped(self, seconds: Floats) -> Floats:
        """No job outlives the time that its user asked for, where there is one."""
        return np.where(self.requested > 0, np.fmin(seconds, self.requested), seconds)


def load(folder: Path, name: str, rows: int) -> Trace:
    """The first `rows` rows. Raises FileNotFoundError when the folder has no such trace."""
    with gzip.open(folder / f"{name}.csv.gz", "rt", newline="") as file:
        found = [row for _, row in zip(range(rows), csv.DictReader(file), strict=False)]
    return Trace(
        name=name,
        submit=_numbers(found, "submit_ts"),
        runtime=np.maximum(_numbers(found, "runtime_s"), SHORTEST_S),
        requested=_numbers(found, "requested_s"),
        cores=_numbers(found, "cores"),
        ok=_numbers(found, "ok"),
        tenants=[row["tenant"] for row in found],
        users=[row["user"] for row in found],
        jobs=[row["name"] for row in found],
        kinds=[row["kind"] for row in found],
    )


def _numbers(rows: Sequence[dict[str, str]], column: str) -> Floats:
    return np.array([float(row[column]) if row[column] else math.nan for row in rows], np.float64)
