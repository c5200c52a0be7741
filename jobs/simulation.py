"""When waiting jobs start, as quantiles: games of the queue (`jobs.game`) with runtimes drawn from what is predicted.

Pure: no Django, no clock. Of running jobs the draws are given how long they have run. What the games get wrong all the
same, `jobs.calibration` learns. Called by `jobs.eta_store`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import lru_cache, partial
from statistics import NormalDist
from typing import NamedTuple

from jobs.game import MOST_STARTS, Game, Queue

LEAST_GAMES, MOST_GAMES = 15, 30
STARTS_IN_ALL = 3000
ORDERS = 509
TOGETHER = 0.4  # of the variance of runtimes is shared by all jobs of a game: predictions err together


class Interval(NamedTuple):
    """Seconds from now: the 10 %, 50 % and 90 % quantiles."""

    low: float
    middle: float
    high: float


class Times(NamedTuple):
    start: Interval
    finish: Interval


def simulate(queue: Queue, *, seed: int = 0, games: int | None = None) -> dict[int, Times]:
    """Start and finish of the waiting jobs that start in nine games of ten, by job."""
    count = games or _games(min(len(queue.waiting), MOST_STARTS))
    draws = _draws(queue, count, seed)
    starts: dict[int, list[float]] = {job.id: [] for job in queue.waiting}
    finishes: dict[int, list[float]] = {job.id: [] for job in queue.waiting}
    for game in range(count):
        runtimes = {job: drawn[game] for job, drawn in draws.items()}
        dice = random.Random(seed + game)  # noqa: S311 - nothing secret
        for job, start in Game(queue, runtimes, dice).play().items():
            starts[job].append(start)
            finishes[job].append(start + runtimes[job])
    enough = math.ceil(0.9 * count)
    return {
        job: Times(_interval(found, count), _interval(finishes[job], count))
        for job, found in starts.items()
        if len(found) >= enough
    }


def _games(starts: int) -> int:
    return max(min(STARTS_IN_ALL // max(starts, 1), MOST_GAMES), LEAST_GAMES)


def _draws(queue: Queue, count: int, seed: int) -> dict[int, list[float]]:
    """Seconds that each job runs (on) in each game: evenly spread over its distribution, in an order of its own.

    A job has the same draws in every simulation, so that estimates do not tremble.
    """
    shared, own = math.sqrt(TOGETHER), math.sqrt(1.0 - TOGETHER)
    *orders, common = _orders(count, seed)

    def drawn(job: int, seconds: Callable[[float], float]) -> list[float]:
        of_its_own = orders[job % ORDERS]
        return [seconds(shared * base + own * z) for base, z in zip(common, of_its_own, strict=True)]

    draws = {job.id: drawn(job.id, job.runtime.at) for job in queue.waiting}
    return draws | {job.id: drawn(job.id, partial(job.runtime.left, job.ran_s)) for job in queue.running}


@lru_cache(maxsize=16)
def _orders(count: int, seed: int) -> list[list[float]]:
    """Evenly spread standard deviations in some hundred orders: one for each job would cost as much as a game."""
    dice, normal = random.Random(seed), NormalDist()  # noqa: S311 - nothing secret
    even = [normal.inv_cdf((place + 0.5) / count) for place in range(count)]
    return [dice.sample(even, count) for _ in range(ORDERS + 1)]


def _interval(found: list[float], count: int) -> Interval:
    """A game that ended before counts as a later start than any other."""
    whole = sorted(found) + [max(found)] * (count - len(found))
    return Interval(_quantile(whole, 0.1), _quantile(whole, 0.5), _quantile(whole, 0.9))


def _quantile(ordered: list[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
