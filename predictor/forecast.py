"""How many jobs will arrive, how much work will then be queued, and how many workers that asks for.

Pure: no Django, no clock. Called by analytics.forecasts for each scrape. One bucket is one minute, work is in
worker-seconds (one slot busy for a second). The steps, `t` being the last of the known minutes:

    profile    s = r x median over the earlier days, minute by minute; from two days on, else 0
               r = (arrivals of this window + k) / (mean of the earlier days in it + k), at most 1; k = 10
    smoothing  e = y - s - (level + phi trend);  level += phi trend + alpha e;  trend = phi trend + alpha beta e
    arrivals   a[t+h] = max(0, s[t+h] + level + (phi + ... + phi^h) trend)
    backlog    q[t+h] = max(0, q[t+h-1] + a[t+h] x work per arrival - 60 x slots)
    slots      max(q[t] / target + mean of a over the target / u, q[t+H] / target + a[t+H] / u), a as work per second

Smoothing with a damped trend: E. S. Gardner and E. McKenzie, "Forecasting Trends in Time Series", Management
Science 31 (1985). phi is 0.9; alpha and beta are those that foretold the next minutes best over the window given.
The first wish for slots knows nothing of the slots there are: were it left out, a backlog that many workers are
about to finish would send them away, and bring them back a minute later. u is the share of a slot's time that
arriving work may take, since arrivals come in clumps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

DAYS_FOR_A_PROFILE = 2
PHI = 0.9
_PRIOR_ARRIVALS = 10.0
# (alpha, beta); of those that did equally well the first is taken: the calmest.
_CANDIDATES = np.array([(alpha, beta) for beta in (0.0, 0.1, 0.3) for alpha in (0.1, 0.2, 0.4)])
_WITHOUT_A_TEST = 1
_START = 5
_AHEAD = 5
_LARGEST = 1e15


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Jobs that arrived, per minute, oldest first.

    `recent`: the last minutes, of which the last one ends now. `earlier`: of each earlier day the same minutes
    of the day and those that followed, as many as are to be forecast.
    """

    recent: Sequence[float] = ()
    earlier: Sequence[Sequence[float]] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """What is there now: worker-seconds that are queued and that a job brings on average, slots of live workers."""

    queued_s: float
    work_s: float
    slots: float


@dataclass(frozen=True, slots=True)
class Policy:
    """What is wanted: queued work done within `target_s`, by 1 to `most` workers of `slots` slots each.

    `utilisation`: the share of their time, above 0 and up to 1, that arriving work may take.
    """

    target_s: float = 300.0
    slots: float = 4.0
    most: int = 100
    utilisation: float = 0.8


@dataclass(frozen=True, slots=True)
class Forecast:
    """For each of the next minutes the jobs that arrive in it and the worker-seconds queued at its end."""

    arrivals: tuple[float, ...]
    queued_s: tuple[float, ...]
    workers_wanted: int


def forecast(arrivals: Arrivals, load: Load, policy: Policy, minutes: int = 15) -> Forecast:
    """The next `minutes`. Raises ValueError naming the field that is negative, not finite or of wrong length."""
    _check(load, policy, minutes)
    expected = expected_arrivals(arrivals, minutes)
    queued = _backlog(expected * load.work_s, load)
    wanted = _workers(expected * load.work_s / 60.0, queued, load, policy)
    return Forecast(tuple(expected.tolist()), tuple(queued), wanted)


def expected_arrivals(arrivals: Arrivals, minutes: int) -> Array:
    """Jobs per minute in each of the next `minutes`: (minutes,), never negative; zeros without history."""
    recent = _series("recent", arrivals.recent, len(arrivals.recent))
    whole = len(recent) + minutes
    earlier = [_series("earlier", day, whole) for day in arrivals.earlier]
    if not len(recent):
        return np.zeros(minutes)
    profile = _profile(recent, earlier, whole)
    level, trend = _smoothed(recent - profile[: len(recent)])
    ahead: Array = profile[len(recent) :] + level + trend * np.cumsum(PHI ** np.arange(1, minutes + 1))
    return np.maximum(ahead, 0.0)


def _profile(recent: Array, earlier: list[Array], whole: int) -> Array:
    if len(earlier) < DAYS_FOR_A_PROFILE:
        return np.zeros(whole)
    days = np.stack(earlier)
    # A quiet day shrinks the profile; what a busy one has above it is left to the level, or a few arrivals in
    # an hour that used to have none would multiply the rush that follows.
    before = days[:, : len(recent)].sum(axis=1).mean()
    ratio = (recent.sum() + _PRIOR_ARRIVALS) / (before + _PRIOR_ARRIVALS)
    profile: Array = min(ratio, 1.0) * np.median(days, axis=0)
    return profile


def _smoothed(series: Array) -> tuple[float, float]:
    """Level and trend at the end, by the candidate that foretold the sums of the next minutes best."""
    levels, trends = _all_candidates(series)
    best = _best(series, levels, trends)
    return float(levels[-1, best]), float(trends[-1, best])


def _all_candidates(series: Array) -> tuple[Array, Array]:
    """Levels and trends after each minute: (minutes, candidates)."""
    alpha, beta = _CANDIDATES.T
    level, trend = np.full(len(alpha), series[:_START].mean()), np.zeros(len(alpha))
    levels, trends = [], []
    for value in series:
        trend = PHI * trend
        error = value - level - trend
        level = level + trend + alpha * error
        trend = trend + alpha * beta * error
        levels.append(level)
        trends.append(trend)
    return np.array(levels), np.array(trends)


def _best(series: Array, levels: Array, trends: Array) -> int:
    tests = slice(_START, len(series) - _AHEAD)
    if tests.stop - tests.start < _AHEAD:
        return _WITHOUT_A_TEST
    # Summed from the series, not as a difference of running sums: equal candidates have to come out equal.
    came = np.lib.stride_tricks.sliding_window_view(series, _AHEAD).sum(axis=1)[_START + 1 :, None]
    foretold = _AHEAD * levels[tests] + trends[tests] * np.cumsum(PHI ** np.arange(1, _AHEAD + 1)).sum()
    errors = ((foretold - came) ** 2).sum(axis=0)
    return int(np.argmax(errors <= errors.min() * (1 + 1e-9)))


def _backlog(work: Array, load: Load) -> list[float]:
    queued, after = load.queued_s, []
    for arriving in work.tolist():
        queued = max(0.0, queued + arriving - 60.0 * load.slots)
        after.append(queued)
    return after


def _workers(rates: Array, queued: list[float], load: Load, policy: Policy) -> int:
    soon = rates[: max(1, math.ceil(policy.target_s / 60.0))].mean()
    now = load.queued_s / policy.target_s + soon / policy.utilisation
    later = queued[-1] / policy.target_s + rates[-1] / policy.utilisation
    workers = max(now, later) / policy.slots
    return int(min(max(math.ceil(workers - 1e-9), 1), policy.most))


def _series(name: str, values: Sequence[float], length: int) -> Array:
    series = np.asarray(values, np.float64)
    if series.shape != (length,):
        raise ValueError(f"{name}: expected {length} minutes, got {len(values)}.")
    if not bool(np.all((series >= 0) & (series <= _LARGEST))):
        raise ValueError(f"{name}: expected counts from 0 to {_LARGEST:g}.")
    return series


def _check(load: Load, policy: Policy, minutes: int) -> None:
    _within("minutes", minutes, 1, 1440)
    for name in ("queued_s", "work_s", "slots"):
        _within(name, getattr(load, name), 0, _LARGEST)
    _within("target_s", policy.target_s, 1, _LARGEST)
    _within("slots of a worker", policy.slots, 1, _LARGEST)
    _within("most", policy.most, 1, _LARGEST)
    _within("utilisation", policy.utilisation, 0.01, 1)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name}={value!r}: expected a number from {low:g} to {high:g}.")
