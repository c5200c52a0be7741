"""What the network reads: one row of numbers per run that is known of, then one for the job asked for.

Pure NumPy. The rows are the last runs of the key and of its organisation in order of time. A run is
described relative to the ask: how its runtime stands to the base, how long ago it ended, what they share.
Names enter as a hashed bucket only, the same in every process. SCHEMA goes with the weights.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from predictor.coldstart import JOB_TYPES, NEUTRAL_RUNTIME_MS
from predictor.history import Ask, Base, Key, Past, Run
from predictor.lstm import Array, Indices

OUTCOMES = ("done", "failed", "timeout", "cancelled", "crashed", "lost")
LANES = ("high", "normal", "low")
BUCKETS = 16
STEPS = 16  # rows of a sequence, the ask included
KEY_STEPS = 10  # most rows that runs of the key may take; the organisation's fill the rest

# Shared by runs and asks, then of a run only, then of an ask only.
_CALENDAR = ("hour_sin", "hour_cos", "weekday_sin", "weekday_cos")
_CATEGORIES = (
    *(f"type:{name}" for name in JOB_TYPES),
    *(f"lane:{name}" for name in LANES),
    *(f"bucket:{number}" for number in range(BUCKETS)),
)
_OF_RUN = (*(f"outcome:{name}" for name in OUTCOMES), "same_key", "same_type", "residual", "log_age")
_OF_ASK = ("is_ask", "base_level", "base_spread", "base_log_runs", "base_of_key")
FEATURES = (*_CALENDAR, *_CATEGORIES, *_OF_RUN, *_OF_ASK)
_AT = {name: column for column, name in enumerate(FEATURES)}

SCHEMA: Mapping[str, Any] = {"version": 1, "steps": STEPS, "features": list(FEATURES)}

_DAY_S, _WEEK_S = 86_400, 604_800
_RESIDUAL_LIMIT = 6.0  # natural log: beyond a factor of 400 more says nothing
_LOG_UNIT = 4.0  # brings the wide logarithms to about -1 to 3
_LOG_NEUTRAL = math.log(NEUTRAL_RUNTIME_MS)


@dataclass(frozen=True, slots=True)
class Example:
    """A job asked for, the base for it and the runs that the network reads, oldest first."""

    ask: Ask
    base: Base
    runs: tuple[Run, ...]


def example(ask: Ask, past: Past, base: Base) -> Example:
    """Choose the runs to read: the last of the key, filled up with the last others of the organisation."""
    of_key = list(past.of_key)[-KEY_STEPS:]
    strangers = (run for run in reversed(past.of_org) if run.key != ask.key)
    others = islice(strangers, STEPS - 1 - len(of_key))
    return Example(ask, base, tuple(sorted(chain(of_key, others), key=lambda run: run.ended_at)))


def name_bucket(job_type: str, job_name: str) -> int:
    return zlib.crc32(f"{job_type}\0{job_name}".encode()) % BUCKETS


class Sequences:
    """Examples in columns, from which batches of sequences are cut without a loop over rows."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.lengths: Indices = np.array([len(entry.runs) + 1 for entry in examples], np.intp)
        runs = list({id(run): run for entry in examples for run in entry.runs}.values())
        self._index = _places(examples, runs)
        numbers: dict[Key, int] = {}
        self._runs = _Columns(runs, [run.ended_at for run in runs], numbers)
        asks = [entry.ask for entry in examples]
        self._asks = _Columns(asks, [ask.at for ask in asks], numbers)
        self._runs.one_hot("outcome", OUTCOMES, [run.outcome for run in runs])
        self._asks.describe_bases([entry.base for entry in examples])
        self._log_ms = np.array([run.log_ms for run in runs])
        self._base = np.array([entry.base.log_ms for entry in examples])

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Indices) -> tuple[Array, Indices]:
        """Sequences (T, B, len(FEATURES)) of the examples at `rows` (B,), and their lengths (B,)."""
        lengths = self.lengths[rows]
        steps = int(lengths.max())
        x = np.zeros((steps, len(rows), len(FEATURES)), np.float32)
        index = self._index[: steps - 1, rows]
        step, column = np.nonzero(index >= 0)
        run, ask = index[step, column], rows[column]
        known = self._runs.shared[run]
        of_key = self._runs.keys[run] == self._asks.keys[ask]
        known[:, _AT["same_key"]] = of_key
        known[:, _AT["same_type"]] = self._runs.types[run] == self._asks.types[ask]
        residual = np.clip(self._log_ms[run] - self._base[ask], -_RESIDUAL_LIMIT, _RESIDUAL_LIMIT)
        known[:, _AT["residual"]] = residual
        age = np.maximum(self._asks.times[ask] - self._runs.times[run], 0)
        known[:, _AT["log_age"]] = np.log1p(age) / _LOG_UNIT
        x[step, column] = known
        x[lengths - 1, np.arange(len(rows))] = self._asks.shared[rows]
        return x, lengths


def _places(examples: Sequence[Example], runs: Sequence[Run]) -> npt.NDArray[np.int32]:
    """Which of `runs` stands at each step of each example (STEPS - 1, N); -1 where there is none."""
    place = {id(run): number for number, run in enumerate(runs)}
    index = np.full((STEPS - 1, len(examples)), -1, np.int32)
    for column, entry in enumerate(examples):
        index[: len(entry.runs), column] = [place[id(run)] for run in entry.runs]
    return index


class _Columns:
    """What runs and asks have in common, one row each. Equal keys get equal numbers, from `numbers`."""

    def __init__(
        self, entries: Sequence[Run] | Sequence[Ask], times: Sequence[float], numbers: dict[Key, int]
    ) -> None:
        self.times: npt.NDArray[np.float64] = np.array(times, np.float64)
        self.keys = np.array([numbers.setdefault(entry.key, len(numbers)) for entry in entries], np.int64)
        types = [entry.job_type for entry in entries]
        self.types = np.array([zlib.crc32(name.encode()) for name in types], np.int64)
        self.shared = np.zeros((len(entries), len(FEATURES)), np.float32)
        self._calendar()
        self.one_hot("type", JOB_TYPES, types)
        self.one_hot("lane", LANES, [entry.lane for entry in entries])
        buckets = [str(name_bucket(entry.job_type, entry.job_name)) for entry in entries]
        self.one_hot("bucket", [str(number) for number in range(BUCKETS)], buckets)

    def one_hot(self, group: str, known: Sequence[str], values: Sequence[str]) -> None:
        """A value that is not known sets no column: the network sees nothing rather than something else."""
        columns = {name: _AT[f"{group}:{name}"] for name in known}
        for row, value in enumerate(values):
            if value in columns:
                self.shared[row, columns[value]] = 1

    def describe_bases(self, bases: Sequence[Base]) -> None:
        columns = {
            "is_ask": [1.0] * len(bases),
            "base_level": [(base.log_ms - _LOG_NEUTRAL) / _LOG_UNIT for base in bases],
            "base_spread": [base.spread for base in bases],
            "base_log_runs": [math.log1p(base.runs) for base in bases],
            "base_of_key": [float(base.of_key) for base in bases],
        }
        for name, values in columns.items():
            self.shared[:, _AT[name]] = values

    def _calendar(self) -> None:
        for name, period in (("hour", _DAY_S), ("weekday", _WEEK_S)):
            angle = self.times % period * (2 * np.pi / period)
            self.shared[:, _AT[f"{name}_sin"]] = np.sin(angle)
            self.shared[:, _AT[f"{name}_cos"]] = np.cos(angle)
