"""Axes: where a value is drawn, and ticks that people read (1 s, 10 s, 1 min, 1 h; 3 Mar 14:00).

Pure. Durations in milliseconds on a log axis, shares from 0 to 1, moments in Unix seconds (UTC).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from predictor.report.data import LATEST, Floats

S, MIN, H, D = 1000.0, 60_000.0, 3_600_000.0, 86_400_000.0
SHORTEST_MS, LONGEST_MS = 1.0, 10_000 * D
_DAYS = (D, 10 * D, 100 * D, 1000 * D, 10_000 * D)
_COARSE = (1.0, S, MIN, H, D, 100 * D, 10_000 * D)
_DECADES = (1.0, 10.0, 100.0, S, 10 * S, MIN, 10 * MIN, H, *_DAYS)
_THIRDS = (
    *(1.0, 3.0, 10.0, 30.0, 100.0, 300.0, S, 3 * S, 10 * S, 30 * S, MIN, 3 * MIN, 10 * MIN, 30 * MIN),
    *(H, 3 * H, 10 * H, D, 3 * D, 10 * D, 30 * D, 100 * D, 1000 * D, 10_000 * D),
)
_FINE = (
    *(unit * many for unit in (1.0, 10.0, 100.0) for many in (1, 2, 5)),
    *(unit * many for unit in (S, MIN) for many in (1, 2, 5, 10, 20, 30)),
    *(H * many for many in (1, 2, 5, 10)),
    *(unit * many for unit in _DAYS[:-1] for many in (1, 2, 5)),
    _DAYS[-1],
)
_STEPS_S = (
    *(60, 300, 900, 1800, 3600, 10_800, 21_600, 43_200),
    *(86_400 * many for many in (1, 2, 3, 4, 7, 14, 28, 91, 182, 364, 728, 3640, 18_200, 36_400, 364_000)),
)
# Of a label of 12 px: the width of a letter, and what is left free at each end.
LETTER, SPACE = 6.4, 7.0
MOST_TICKS = 8
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from `low` to `high` drawn from `start` to `end`; those outside are drawn at the nearer end."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...] = ()
    log: bool = False

    def __call__(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        low, high, at = (
            map(math.log, (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        )
        return self.start + (at - low) / (high - low) * (self.end - self.start)


def duration(ms: float) -> str:
    """A duration in its natural unit, three figures at most."""
    if ms > LONGEST_MS:
        return "over 10,000 d"
    for unit, name in ((D, "d"), (H, "h"), (MIN, "min"), (S, "s")):
        if ms >= unit:
            size = ms / unit
            return f"{size:,.0f} {name}" if size >= 100 else f"{size:.3g} {name}"
    return f"{ms:.0f} ms" if ms >= 100 else f"{ms:.3g} ms"


def duration_range(values: Floats) -> tuple[float, float]:
    """The whole of the values with a margin, and never less than a factor of ten."""
    if not len(values):
        return S, MIN
    low, high = (min(max(float(value), SHORTEST_MS), LONGEST_MS) for value in (values.min(), values.max()))
    margin = max(1.2, math.sqrt(10 * low / high) if high < 10 * low else 1.2)
    return low / margin, high * margin


def duration_axis(low: float, high: float, start: float, end: float) -> Axis:
    """A log axis with the finest ticks whose labels stay apart, even side by side."""
    bare = Axis(low, high, start, end, log=True)
    for values in (_FINE, _THIRDS, _DECADES, _COARSE):
        seen = [value for value in values if low <= value <= high]
        ticks = tuple((value, duration(value)) for value in seen)
        if all(
            abs(bare(a) - bare(b)) >= _room(words + more) / 2 for (a, words), (b, more) in pairwise(ticks)
        ):
            break
    return Axis(low, high, start, end, ticks, log=True)


def _room(words: str) -> float:
    """What these words take on an axis, with the space around them."""
    return LETTER * len(words) + 2 * SPACE


def share_axis(start: float, end: float, step: int = 20) -> Axis:
    return Axis(0, 1, start, end, tuple((part / 100, f"{part} %") for part in range(0, 101, step)))


def number_axis(top: float, start: float, end: float) -> Axis:
    """From 0 to a round number at or above `top`, with three to six ticks."""
    size = 10 ** math.floor(math.log10(max(top, 0.05)))
    step = next(size * part for part in (0.2, 0.5, 1, 2, 5) if top <= 5 * size * part)
    count = max(math.ceil(top / step - 1e-9), 1)
    return Axis(0, step * count, start, end, tuple((step * n, f"{step * n:.3g}") for n in range(count + 1)))


def time_axis(low: float, high: float, start: float, end: float) -> Axis:
    """Moments in UTC, with as many round ticks as there is room for."""
    short = high - low <= 86_400
    for step in _STEPS_S:
        if high // step - low // step > MOST_TICKS:
            continue
        moments = (n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1))
        ticks = tuple((at, _tick(at, step, short)) for at in moments if at <= LATEST)
        if step / (high - low) * (end - start) >= 1.5 * max((_room(words) for _, words in ticks), default=0):
            return Axis(low, high, start, end, ticks)
    return Axis(low, high, start, end)


def _tick(at: float, step: int, short: bool) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    day = f"{moment.day} {_MONTHS[moment.month - 1]}"
    if step >= 91 * 86_400:
        return f"{_MONTHS[moment.month - 1]} {moment.year}"
    if step >= 86_400:
        return day
    return f"{moment:%H:%M}" if short else f"{day} {moment:%H:%M}"


def moment(at: float) -> str:
    """A moment in words, to the minute, UTC."""
    when = datetime.fromtimestamp(at, UTC)
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year} {when:%H:%M}"
