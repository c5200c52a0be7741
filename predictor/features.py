"""What the network reads of a job: a row of numbers about the ask, hashed words, and a row per earlier run.

Pure NumPy. Runtimes stand as their distance to the base in natural logs, so that jobs of 50 ms and of an
hour look alike; times as logs of seconds. SCHEMA goes with the weights: a model that was trained on
other features is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from predictor.history import CIRCLES, OF_ONE_TYPE, Ask, Base, Past, Seen, Window, hashed, log_timeout_ms
from predictor.lstm import Array, Indices
from predictor.traits import BUCKETS, SLOTS, WORDS, bucket

STEPS = 12  # of a sequence: earlier runs, and the ask itself as the last
_SHARES = (("own", 6), ("user", 8), ("name", 9), ("org", STEPS - 1))  # in whose windows runs are looked for
KINDS = ("org", "user", "type", "name")  # what has a row of its own in the table of embeddings

LANES = ("high", "normal", "low")
_OF_CIRCLE = ("known", "mean", "last", "second", "third", "median", "spread", "log_count", "log_age", "done")
ASK_FEATURES = (
    *(f"{circle}:{name}" for circle in CIRCLES for name in _OF_CIRCLE),
    *(f"base_of:{circle}" for circle in CIRCLES[:OF_ONE_TYPE]),
    *(
        f"open:{circle}:{name}"
        for circle in ("own", "user", "org")
        for name in ("log_count", "first", "last")
    ),
    *("base", "has_timeout", "timeout", "attempt", "volume", "size"),
    *("hour_sin", "hour_cos", "weekday_sin", "weekday_cos"),
    *(f"lane:{lane}" for lane in LANES),
    *(f"number:{slot}" for slot in range(SLOTS)),
)
RUN_FEATURES = (
    *("residual", "log_age", "log_gap", "log_asked_age", "done", "censored"),
    *("same_own", "same_name", "same_user", "same_type", "same_payload", "timeout", "headroom", "volume"),
)
_SAME_PAYLOAD, _VOLUME = RUN_FEATURES.index("same_payload"), RUN_FEATURES.index("volume")
SCHEMA: Mapping[str, Any] = {
    "version": 2,
    "steps": STEPS,
    "buckets": BUCKETS,
    "words": WORDS,
    "ask": list(ASK_FEATURES),
    "run": list(RUN_FEATURES),
}

_DAY_S, _WEEK_S = 86_400, 604_800
_LIMIT = 6.0  # natural log: beyond a factor of 400 more says nothing
_MIDDLE, _WIDTH = 8.0, 3.0  # of the logs of milliseconds that occur: brings them to about -2 to 4
_LONG = 6.0  # of the logs of seconds


@dataclass(frozen=True, slots=True)
class Example:
    """One ask as the network reads it. `log_base` and `log_cap` (infinite: none) are logs of milliseconds."""

    ask: Array  # (len(ASK_FEATURES),)
    words: Indices  # (len(KINDS) + WORDS,), -1 where there is none
    runs: Array  # (up to STEPS - 1, len(RUN_FEATURES)), oldest first
    log_base: float
    log_cap: float


def example(ask: Ask, past: Past, base: Base) -> Example:
    return _example(ask, _read(ask, past, base))


def examples(asked: Sequence[tuple[Ask, Past, Base]]) -> list[Example]:
    """One for each, in order. Jobs of one name that are submitted together have the same past, and differ in
    their payloads only: it is read once."""
    read: dict[Any, _OfPast] = {}
    made = []
    for ask, past, base in asked:
        key = (ask.circles, ask.timeout_s, ask.at)
        if key not in read:
            read[key] = _read(ask, past, base)
        made.append(_example(ask, read[key]))
    return made


@dataclass(frozen=True, slots=True)
class _OfPast:
    """What is read of the past, whatever the payload is."""

    base: Base
    kinds: list[int]  # buckets
    numbers: list[float]
    runs: Array  # (up to STEPS - 1, len(RUN_FEATURES)), without what depends on the payload
    digests: Array
    volumes: Array


def _read(ask: Ask, past: Past, base: Base) -> _OfPast:
    runs = _runs_to_read(past)
    return _OfPast(
        base,
        _kinds(ask),
        [*_circles(ask, past, base), *_open(ask, past)],
        np.array(list(_steps(runs, ask, base)), np.float32).reshape(len(runs), len(RUN_FEATURES)),
        np.array([run.digest for run in runs]),
        np.array([run.volume for run in runs], np.float32),
    )


def _example(ask: Ask, of_past: _OfPast) -> Example:
    runs = of_past.runs.copy()
    if len(runs):
        runs[:, _SAME_PAYLOAD] = of_past.digests == ask.traits.digest
        more = of_past.volumes - ask.traits.volume
        runs[:, _VOLUME] = np.minimum(np.maximum(more, -_LIMIT), _LIMIT)
    return Example(
        ask=np.array(of_past.numbers + _ask(ask, of_past.base), np.float32),
        words=_words(ask, of_past.kinds),
        runs=runs,
        log_base=of_past.base.log_ms,
        log_cap=log_timeout_ms(ask) or math.inf,
    )


def _runs_to_read(past: Past) -> list[Seen]:
    """The last runs, oldest first: each circle may fill the sequence up to its share."""
    windows = dict(zip(CIRCLES, past.windows, strict=True))
    chosen: dict[Seen, None] = {}
    for circle, share in _SHARES:
        window = windows[circle]
        for run in reversed(window.runs) if window else ():
            if len(chosen) >= share:
                break
            chosen[run] = None
    return sorted(chosen)


def _circles(ask: Ask, past: Past, base: Base) -> Iterator[float]:
    for window in past.windows:
        yield from _circle(window, ask, base)
    for circle in range(OF_ONE_TYPE):
        yield float(circle == base.circle)


def _circle(window: Window | None, ask: Ask, base: Base) -> tuple[float, ...]:
    summary = window and window.summary()
    if not summary:
        return (0.0,) * len(_OF_CIRCLE)
    levels = (summary.mean, *summary.last, summary.median)
    return (
        1.0,
        *(_clip(level - base.log_ms) for level in levels),
        summary.spread,
        summary.log_count / 4,
        _age(ask.at - summary.ended_at),
        summary.done_share,
    )


def _ask(ask: Ask, base: Base) -> list[float]:
    timeout, traits = log_timeout_ms(ask), ask.traits
    day, week = (ask.at % period * (2 * math.pi / period) for period in (_DAY_S, _WEEK_S))
    return [
        (base.log_ms - _MIDDLE) / _WIDTH,
        float(timeout > 0),
        _clip(timeout - base.log_ms) if timeout else 0.0,
        math.log(max(ask.attempt, 1)),
        traits.volume / _LONG,
        math.log1p(traits.size) / _LONG,
        *(math.sin(day), math.cos(day), math.sin(week), math.cos(week)),
        *(float(ask.lane == lane) for lane in LANES),
        *(number / _LONG for number in traits.numbers),
    ]


def _open(ask: Ask, past: Past) -> Iterator[float]:
    for group in past.open:
        yield math.log1p(group.jobs) / 3
        yield _age(ask.at - group.first_at) if group.jobs else 0.0
        yield _age(ask.at - group.last_at) if group.jobs else 0.0


def _kinds(ask: Ask) -> list[int]:
    kinds = {
        "org": ask.org_id,
        "user": (ask.org_id, ask.user_id),
        "type": (ask.org_id, ask.job_type),
        "name": (ask.org_id, ask.job_name),
    }
    return [bucket(kind, kinds[kind]) for kind in KINDS]


def _words(ask: Ask, kinds: list[int]) -> Indices:
    words = ask.traits.words
    return np.array([*kinds, *words, *(-1,) * (WORDS - len(words))], np.int32)


def _steps(runs: Sequence[Seen], ask: Ask, base: Base) -> Iterator[tuple[float, ...]]:
    type_hash, name_hash, timeout = hashed(ask.job_type), hashed(ask.job_name), log_timeout_ms(ask)
    before = None
    for run in runs:
        same_type = run.type_hash == type_hash
        same_name = same_type and run.name_hash == name_hash
        same_user = run.user_id == ask.user_id
        yield (
            _clip(run.log_ms - base.log_ms),
            _age(ask.at - run.ended_at),
            0.0 if before is None else _age(run.ended_at - before),
            _age(ask.at - run.asked_at),
            run.done,
            1.0 - run.ended,
            float(same_name and same_user),
            float(same_name),
            float(same_user),
            float(same_type),
            0.0,  # same_payload: see _example
            _clip(run.log_timeout_ms - timeout) if run.log_timeout_ms and timeout else 0.0,
            _clip(run.log_timeout_ms - run.log_ms) if run.log_timeout_ms else 0.0,
            0.0,  # volume: see _example
        )
        before = run.ended_at


def _clip(value: float) -> float:
    return -_LIMIT if value < -_LIMIT else min(value, _LIMIT)


def _age(seconds: float) -> float:
    return math.log1p(max(seconds, 0.0)) / _LONG


@dataclass(frozen=True, slots=True)
class Batch:
    """Examples side by side. A sequence has its runs first and the place of the ask right after them."""

    ask: Array  # (B, len(ASK_FEATURES))
    words: Indices  # (B, len(KINDS) + WORDS)
    runs: Array  # (T, B, len(RUN_FEATURES))
    lengths: Indices  # (B,), the ask included

    def __len__(self) -> int:
        return len(self.lengths)


def batch(examples: Sequence[Example]) -> Batch:
    lengths = np.array([len(one.runs) + 1 for one in examples], np.intp)
    runs = np.zeros((int(lengths.max()), len(examples), len(RUN_FEATURES)), np.float32)
    for column, one in enumerate(examples):
        runs[: len(one.runs), column] = one.runs
    return Batch(
        np.stack([one.ask for one in examples]), np.stack([one.words for one in examples]), runs, lengths
    )
