"""What is known of a job when it is asked for: the runs before it, and the robust base made of them.

Pure: no Django, no clock. Serving fills a `Past` from the database, training replays the whole history
through a `Book`; both see the same last runs, so that what was learned holds when it is used.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

KEY_RUNS = 16  # last runs of the same (org, type, name) that count
ORG_RUNS = 64  # last runs of the organisation that count
DECAY = 0.75  # weight of a run against the one after it
DONE = "done"

Key = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class Run:
    """One ended execution. Times in Unix seconds, durations in milliseconds."""

    org_id: int
    job_type: str
    job_name: str
    lane: str
    outcome: str
    runtime_ms: float
    ended_at: float
    wait_ms: float = 0.0

    @property
    def key(self) -> Key:
        return self.org_id, self.job_type, self.job_name

    @property
    def asked_at(self) -> float:
        """When it began to wait: what had ended by then was known when it was asked for."""
        return self.ended_at - (self.runtime_ms + self.wait_ms) / 1000

    @property
    def log_ms(self) -> float:
        return math.log(max(self.runtime_ms, 1.0))


@dataclass(frozen=True, slots=True)
class Ask:
    """A job whose runtime is wanted, at `at` (Unix seconds)."""

    org_id: int
    job_type: str
    job_name: str
    lane: str
    at: float

    @property
    def key(self) -> Key:
        return self.org_id, self.job_type, self.job_name


@dataclass(frozen=True, slots=True)
class Past:
    """The runs known at an ask, oldest first: of its key, and of its organisation (its key included)."""

    of_key: Sequence[Run]
    of_org: Sequence[Run]


@dataclass(frozen=True, slots=True)
class Base:
    """The robust base: log of its milliseconds, spread of what it was made of, and how many runs that was."""

    log_ms: float
    spread: float
    runs: int
    of_key: bool


def robust_base(ask: Ask, past: Past) -> Base | None:
    """Median of the key's runs that ended well, recent ones weighing more; else of the organisation's
    runs of this type; None when neither has any."""
    for of_key, runs in ((True, past.of_key), (False, past.of_org)):
        logs = [run.log_ms for run in runs if run.outcome == DONE and run.job_type == ask.job_type]
        if logs:
            logs = logs[-KEY_RUNS:]
            middle = recent_median(logs)
            spread = recent_median([abs(log - middle) for log in logs])
            return Base(middle, spread, len(logs), of_key)
    return None


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
    """The last runs of every key and organisation, while a history is replayed in order."""

    def __init__(self) -> None:
        self._keys: defaultdict[Key, deque[Run]] = defaultdict(lambda: deque(maxlen=KEY_RUNS))
        self._orgs: defaultdict[int, deque[Run]] = defaultdict(lambda: deque(maxlen=ORG_RUNS))

    def add(self, run: Run) -> None:
        self._keys[run.key].append(run)
        self._orgs[run.org_id].append(run)

    def past(self, ask: Ask) -> Past:
        """A view, valid until the next `add`."""
        return Past(self._keys.get(ask.key, ()), self._orgs.get(ask.org_id, ()))


def replay(runs: Sequence[Run]) -> Iterator[tuple[Ask, Past, Run]]:
    """Each run as it was asked for, in that order, with what had ended by then."""
    book, ended = Book(), sorted(runs, key=lambda run: run.ended_at)
    known = 0
    for run in sorted(runs, key=lambda run: run.asked_at):
        while known < len(ended) and ended[known].ended_at <= run.asked_at:
            book.add(ended[known])
            known += 1
        ask = Ask(run.org_id, run.job_type, run.job_name, run.lane, run.asked_at)
        yield ask, book.past(ask), run
