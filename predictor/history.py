"""What is known of a job when it is asked for: the runs before it, and the robust base made of them.

Pure: no Django, no clock. A run counts in five circles, from the narrowest to the widest: jobs of its type,
name and submitter, of its type and name, of its type and submitter, of its type, of its organisation. Of
each circle a window of the last runs is kept, in the database by predictor.keeping and in memory by a
`Book`; both hold the same, so that what was learned from a replay holds when it is used.
"""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from predictor import coldstart
from predictor.traits import NO_TRAITS, Traits

WINDOW = 16  # last runs of a circle that count
MOST_WINDOWS = 100_000  # in memory
MOST_OPEN = 500  # unfinished jobs of an organisation that are counted
DECAY = 0.75  # weight of a run against the one after it
DONE = "done"
ENDED = frozenset({"done", "failed"})  # ended by themselves
CUT_SHORT = frozenset({"timeout", "cancelled", "crashed"})  # took at least as long as they were let
KNOWN = ENDED | CUT_SHORT  # how long a lost attempt ran nobody knows: it is in no history
CIRCLES = ("own", "name", "user", "type", "org")
OF_ONE_TYPE = 4  # the first so many: what a base may be made of
NO_CIRCLE = len(CIRCLES)  # the base is the level of the type over all organisations

CircleKey = tuple[int, str, str, int]  # org, type, name and submitter; "" and 0 stand for any


@dataclass(frozen=True, slots=True)
class Ask:
    """A job whose runtime is wanted, at `at` (Unix seconds). `user_id`, `timeout_s`: 0 where there is none."""

    org_id: int
    job_type: str
    job_name: str
    lane: str
    at: float
    user_id: int = 0
    timeout_s: float = 0.0
    attempt: int = 1
    traits: Traits = NO_TRAITS

    @property
    def circles(self) -> tuple[CircleKey, ...]:
        """The keys of its circles, as in CIRCLES; without a submitter some of them are the same."""
        return (
            (self.org_id, self.job_type, self.job_name, self.user_id),
            (self.org_id, self.job_type, self.job_name, 0),
            (self.org_id, self.job_type, "", self.user_id),
            (self.org_id, self.job_type, "", 0),
            (self.org_id, "", "", 0),
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One ended execution: what was asked for, how it ended, when (Unix seconds), after how long."""

    ask: Ask
    outcome: str
    runtime_ms: float
    ended_at: float

    @property
    def log_ms(self) -> float:
        # Whatever a row holds: one that is no number must not make every later sum none either.
        return math.log(min(max(self.runtime_ms, 1.0), 1e12)) if math.isfinite(self.runtime_ms) else 0.0

    @property
    def censored(self) -> bool:
        """Whether it was ended from outside, so that it would have taken longer."""
        return self.outcome not in ENDED


class Seen(NamedTuple):
    """A run as a window keeps it: numbers only. Times in Unix seconds; `ended` is 0 for a censored run."""

    ended_at: float
    log_ms: float
    ended: float
    done: float
    asked_at: float
    type_hash: float
    name_hash: float
    user_id: float
    log_timeout_ms: float  # 0: none
    volume: float
    digest: float


def seen(run: Run) -> Seen:
    ask = run.ask
    return Seen(
        ended_at=run.ended_at,
        log_ms=run.log_ms,
        ended=float(not run.censored),
        done=float(run.outcome == DONE),
        asked_at=ask.at,
        type_hash=hashed(ask.job_type),
        name_hash=hashed(ask.job_name),
        user_id=float(ask.user_id),
        log_timeout_ms=log_timeout_ms(ask),
        volume=ask.traits.volume,
        digest=float(ask.traits.digest),
    )


def hashed(text: str) -> float:
    return float(zlib.crc32(text.encode("utf-8", "replace")))


def log_timeout_ms(ask: Ask) -> float:
    return math.log(ask.timeout_s * 1000) if ask.timeout_s > 0.001 else 0.0


class Summary(NamedTuple):
    """A window in numbers. Natural logs of milliseconds; `last` newest first."""

    median: float
    mean: float
    spread: float
    last: tuple[float, float, float]
    log_count: float
    ended_at: float
    done_share: float


class Window:
    """The last runs of a circle, oldest first, and how many there have been."""

    __slots__ = ("_summary", "count", "runs")

    def __init__(self, runs: Iterable[Seen] = (), count: int = 0) -> None:
        self.runs: deque[Seen] = deque(runs, maxlen=WINDOW)
        self.count = max(count, len(self.runs))
        self._summary: Summary | None = None

    def add(self, run: Seen) -> None:
        self.runs.append(run)
        self.count += 1
        self._summary = None

    def at_least(self) -> float | None:
        """Where no run ended by itself, what they outlasted; None where some did, or there is none."""
        if not self.runs or any(run.ended for run in self.runs):
            return None
        return recent_median([run.log_ms for run in self.runs])

    def summary(self) -> Summary | None:
        """None while no run of the window ended by itself."""
        if self._summary is None:
            self._summary = _summary(self)
        return self._summary


def _summary(window: Window) -> Summary | None:
    logs = _levels(window.runs)
    if not logs:
        return None
    weights = [DECAY**place for place in range(len(logs) - 1, -1, -1)]
    total = sum(weights)
    mean = sum(weight * log for weight, log in zip(weights, logs, strict=True)) / total
    spread = sum(weight * abs(log - mean) for weight, log in zip(weights, logs, strict=True)) / total
    done = sum(run.done for run in window.runs) / len(window.runs)
    last = (logs[-1], logs[max(-2, -len(logs))], logs[max(-3, -len(logs))])
    return Summary(
        recent_median(logs), mean, spread, last, math.log1p(window.count), window.runs[-1].ended_at, done
    )


def _levels(runs: Sequence[Seen]) -> list[float]:
    """Log runtimes that say where the level is: a censored run counts only where it outlasted the others'
    median, since all it says is "at least"."""
    ended = [run.log_ms for run in runs if run.ended]
    if not ended or len(ended) == len(runs):
        return ended
    middle = recent_median(ended)
    return [run.log_ms for run in runs if run.ended or run.log_ms > middle]


class Open(NamedTuple):
    """Unfinished jobs at an ask: how many, and when the first and the last of them were submitted."""

    jobs: int = 0
    first_at: float = 0.0
    last_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Past:
    """The windows of an ask's circles, as in CIRCLES (None where nothing is known), and what is unfinished of
    its name and submitter, of its submitter, and of its organisation."""

    windows: tuple[Window | None, ...]
    open: tuple[Open, Open, Open] = (Open(), Open(), Open())


@dataclass(frozen=True, slots=True)
class Base:
    """The robust base: log of its milliseconds, and the index in CIRCLES of what it was made of, or NO_CIRCLE."""

    log_ms: float
    circle: int


def robust_base(ask: Ask, past: Past, levels: Mapping[str, float]) -> Base | None:
    """Median of the narrowest circle that has runs of this type, recent ones weighing more.

    Never less than what runs of a narrower circle outlasted that were all cut short. Where no circle has
    runs, the level of the type over all organisations, from `levels`. None without that, unless the runs that
    were cut short outlasted the cold start, which answers otherwise.
    """
    least = -math.inf
    for circle, window in enumerate(past.windows[:OF_ONE_TYPE]):
        if window is None:
            continue
        if summary := window.summary():
            return Base(max(summary.median, least), circle)
        if (outlasted := window.at_least()) is not None:
            least = max(least, outlasted)
    level = levels.get(ask.job_type)
    if level is None:
        cold = math.log(coldstart.base_ms(ask.job_type))
        return Base(least, NO_CIRCLE) if least > cold else None
    return Base(max(least, level), NO_CIRCLE)


def recent_median(values: Sequence[float]) -> float:
    """Weighted median of values (oldest first), each weighing DECAY of the one after it.

    Between the two middle values it interpolates, so that it moves gradually as a level changes.
    """
    ranked = sorted((value, DECAY ** (len(values) - 1 - place)) for place, value in enumerate(values))
    half = sum(weight for _, weight in ranked) / 2
    reached = last_centre = last_value = 0.0
    for value, weight in ranked:
        centre = reached + weight / 2
        if centre >= half and reached == 0:
            return value
        if centre >= half:
            return last_value + (value - last_value) * (half - last_centre) / (centre - last_centre)
        reached, last_centre, last_value = reached + weight, centre, value
    return last_value


class Book:
    """The windows of all circles, while a history is told in order, and what is unfinished.

    Of windows it keeps MOST_WINDOWS, of those that were added to last.
    """

    def __init__(self) -> None:
        self.windows: dict[CircleKey, Window] = {}
        self._open: dict[CircleKey, dict[int, float]] = {}  # when asked, by ticket

    def note(self, ticket: int, ask: Ask) -> None:
        """It is submitted."""
        for key in _open_keys(ask):
            self._open.setdefault(key, {})[ticket] = ask.at

    def close(self, ticket: int, ask: Ask) -> None:
        """It is not unfinished any more."""
        for key in _open_keys(ask):
            times = self._open.get(key)
            if times is not None:
                times.pop(ticket, None)
                if not times:
                    del self._open[key]

    def add(self, run: Run) -> None:
        entry = seen(run)
        for key in dict.fromkeys(run.ask.circles):
            window = self.windows.pop(key, None) or Window()
            window.add(entry)
            self.windows[key] = window
        while len(self.windows) > MOST_WINDOWS:
            del self.windows[next(iter(self.windows))]

    def past(self, ask: Ask) -> Past:
        """A view, valid until the next change."""
        own, user, org = (_open_now(self._open.get(key)) for key in _open_keys(ask))
        return Past(tuple(self.windows.get(key) for key in ask.circles), (own, user, org))


def _open_keys(ask: Ask) -> tuple[CircleKey, CircleKey, CircleKey]:
    return (
        (ask.org_id, ask.job_type, ask.job_name, ask.user_id),
        (ask.org_id, "", "", ask.user_id),
        (ask.org_id, "", "any", 0),
    )


def _open_now(times: dict[int, float] | None) -> Open:
    if not times:
        return Open()
    return Open(min(len(times), MOST_OPEN), next(iter(times.values())), next(reversed(times.values())))
