"""Gradient boosting with the information that the predictor has: what it is told, and its run under its own Python.

scikit-learn is installed for the bench alone, so the fitting is a script under another Python (boosting_script.py);
columns go there and forecasts come back as npz files.
"""

from __future__ import annotations

import math
import os
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np

from bench.peers.venv import python_with
from bench.predict.replay import Forecast, replay
from bench.predict.simple import NEWEST, DecayedMean, key_of, user_of
from bench.predict.traces import Floats, Trace

REQUIREMENTS = Path(__file__).with_name("boosting.txt")
SCRIPT = Path(__file__).with_name("boosting_script.py")
FIT_S = 3600
DAY_S = 86_400
EPOCH_WEEKDAY = 4


def boosting_python() -> Path:
    """Raises PeersMissing."""
    return python_with(REQUIREMENTS, "boosting")


def boosted(python: Path, trace: Trace, ewma: Floats) -> dict[str, Forecast]:
    """Forecasts of `hgb`, `hgb_res` and `hgb_abs`; `ewma` (N,) is their base where they have one, and answers
    while there is too little to learn from."""
    with tempfile.TemporaryDirectory(prefix="sq-bench-boosting-") as folder:
        told, said = Path(folder, "told.npz"), Path(folder, "said.npz")
        np.savez(
            told,
            numbers=numbers(trace),
            categories=categories(trace),
            runtime=trace.runtime,
            ended=trace.ended,
            submit=trace.submit,
            base=np.maximum(ewma, 1.0),
            parts=[*trace.starts_of_parts, len(trace)],
        )
        _run([str(python), str(SCRIPT), str(told), str(said)])
        with np.load(said) as found:
            answers = {name: found[name] for name in found.files}
    return {
        name: Forecast(trace.capped(np.where(np.isnan(found), ewma, found)))
        for name, found in answers.items()
    }


def _run(command: Sequence[str]) -> None:
    # Threads that spin while they wait for each other take the processor from those that they wait for.
    environment = os.environ | {"OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=FIT_S, check=False
    )
    if done.returncode:
        raise SystemExit(f"bench: gradient boosting:\n{done.stderr[-2000:]}")


def categories(trace: Trace) -> np.ndarray:
    """Number of the user, name, kind and tenant of each row (N, 4), in order of first appearance."""
    rows = range(len(trace))
    columns: list[list[Hashable]] = [
        [user_of(trace, row) for row in rows],
        list(trace.jobs),
        [(trace.tenants[row], trace.kinds[row]) for row in rows],
        list(trace.tenants),
    ]
    return np.column_stack([_numbered(column) for column in columns])


def _numbered(values: Sequence[Hashable]) -> list[int]:
    seen: dict[Hashable, int] = {}
    return [seen.setdefault(value, len(seen)) for value in values]


def numbers(trace: Trace) -> Floats:
    """What is known of each job as it is submitted (N, 23); NaN where nothing is."""
    book = Book(trace)
    rows = []
    for row, news in replay(trace):
        for other in news:
            book.ended(other)
        rows.append(book.describe(row))
        book.submitted(row)
    return np.array(rows, np.float64)


class Book:
    """Decayed means of log runtimes by key, user, name, kind and of all, and when each was last submitted."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._means: defaultdict[Hashable, DecayedMean] = defaultdict(DecayedMean)
        self._last_submit: dict[Hashable, float] = {}
        self._submitted: Counter[Hashable] = Counter()

    def ended(self, row: int) -> None:
        log = math.log(self._trace.runtime[row])
        for level in self._levels(row):
            self._means[level].add(log)

    def submitted(self, row: int) -> None:
        for who in self._levels(row)[:2]:
            self._last_submit[who] = float(self._trace.submit[row])
            self._submitted[who] += 1

    def describe(self, row: int) -> list[float]:
        levels = self._levels(row)
        means = [self._means.get(level) for level in levels]
        key, user = means[:2]
        counts = [known.count if known else 0 for known in means[:3]]
        return [
            *_newest(key),
            *_newest(user),
            *(known.mean if known else math.nan for known in means[:4]),
            means[4].mean if means[4] else 0.0,
            *(math.sqrt(known.variance) if known else math.nan for known in (key, user)),
            *(math.log1p(count) for count in counts),
            *(self._since(level, row) for level in levels[:2]),
            *self._of_job(row),
            math.log1p(self._submitted[levels[1]] - counts[1]),
        ]

    def _levels(self, row: int) -> tuple[Hashable, ...]:
        trace = self._trace
        kind = ("kind", trace.tenants[row], trace.kinds[row])
        return (
            ("key", key_of(trace, row)),
            ("user", user_of(trace, row)),
            ("name", trace.jobs[row]),
            kind,
            (),
        )

    def _since(self, level: Hashable, row: int) -> float:
        last = self._last_submit.get(level)
        return math.nan if last is None else math.log1p(self._trace.submit[row] - last)

    def _of_job(self, row: int) -> list[float]:
        at, trace = float(self._trace.submit[row]), self._trace
        calendar = [at % DAY_S / 3600, (at // DAY_S + EPOCH_WEEKDAY) % 7]
        asked = (float(trace.requested[row]), float(trace.cores[row]))
        return calendar + [math.log(value) if value > 0 else math.nan for value in asked]


def _newest(known: DecayedMean | None) -> list[float]:
    values = list(known.newest) if known else []
    return values + [math.nan] * (NEWEST - len(values))
