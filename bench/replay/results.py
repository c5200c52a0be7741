"""Tables and goals of the replay: one row per trace and order, then the averages over the traces."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

from bench import report
from bench.goals import Goal
from bench.replay.measures import Measures
from bench.replay.orders import SMARTQUEUE

AVERAGE_GAIN, LEAST_GAIN = 0.95, 0.90
LEARNED_ORDERING = 5.44  # % by which others' published learned ordering completes earlier than FIFO

COLUMNS = ("mean wait s", "p95 wait s", "slowdown", "largest wait s", "mean completion s")
SHARES = ("gain, wait", "gain, slowdown", "the same by the yardstick", "completes faster %")


@dataclass(frozen=True)
class Result:
    """One order on one trace; `seed` None for those without a served prediction. `by_yardstick`: the gain in slowdown
    as the traces' yardstick reckons it, which lets some jobs start before they come; NaN where that was not done."""

    trace: str
    order: str
    seed: int | None
    measures: Measures
    by_yardstick: float = math.nan

    @property
    def label(self) -> str:
        return self.order if self.seed is None else f"{self.order}, seed {self.seed}"

    @property
    def shares(self) -> list[float]:
        found = self.measures
        return [found.gain_wait, found.gain_slowdown, self.by_yardstick, found.faster * 100]


@dataclass(frozen=True)
class Simple:
    """The gain in slowdown when the shortest by a simple predictor goes first."""

    trace: str
    predictor: str
    gain: float


def print_trace(title: str, results: Sequence[Result], simple: Sequence[Simple]) -> None:
    rows = [
        [result.label, *astuple(result.measures)[: len(COLUMNS)], *map(_shown, result.shares)]
        for result in results
    ]
    report.table(title, ["order", *COLUMNS, *SHARES], rows)
    said = ", ".join(f"{one.predictor} {one.gain:.3f}" for one in simple)
    print(f"\nGain in slowdown, shortest first by a simple predictor: {said}")


def print_averages(results: Sequence[Result], simple: Sequence[Simple]) -> None:
    by_label: defaultdict[str, list[list[float]]] = defaultdict(list)
    for result in results:
        by_label[result.label].append(result.shares)
    rows: list[list[str]] = [
        [label, *(_shown(mean(column)) for column in zip(*shares, strict=True))]
        for label, shares in by_label.items()
    ]
    rows += [[name, "-", _shown(gain), "-", "-"] for name, gain in _averages_of_simple(simple).items()]
    traces = len({result.trace for result in results})
    report.table(f"Average over {traces} trace(s)", ["order", *SHARES], rows)


def goals(results: Sequence[Result], simple: Sequence[Simple]) -> list[Goal]:
    """Of SmartQueue without a cap, by the worst of its seeds."""
    own = [result for result in results if result.order == SMARTQUEUE]
    gains = {(result.trace, result.seed): result.measures.gain_slowdown for result in own}
    by_yardstick = {(result.trace, result.seed): result.by_yardstick for result in own}
    ahead = _average_of_worst_seed(gains) - mean(_best_simple(simple))
    name = "share of the oracle's gain in slowdown"
    return [
        Goal(f"{name}, average", _average_of_worst_seed(gains), AVERAGE_GAIN, at_least=True),
        Goal(f"{name}, least", min(gains.values()), LEAST_GAIN, at_least=True),
        Goal(
            f"{name}, average, by the yardstick",
            _average_of_worst_seed(by_yardstick),
            AVERAGE_GAIN,
            at_least=True,
        ),
        Goal(f"{name}, least, by the yardstick", min(by_yardstick.values()), LEAST_GAIN, at_least=True),
        Goal(f"{name}, average, ahead of the best simple predictor's of each trace", ahead, 0, at_least=True),
        Goal(
            "mean completion earlier than FIFO's, least",
            min(result.measures.faster * 100 for result in own),
            LEARNED_ORDERING,
            " %",
            at_least=True,
        ),
    ]


def mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else math.nan


def _average_of_worst_seed(gains: Mapping[tuple[str, int | None], float]) -> float:
    seeds = {seed for _, seed in gains}
    return min(mean(gain for (_, own), gain in gains.items() if own == seed) for seed in seeds)


def _best_simple(simple: Sequence[Simple]) -> list[float]:
    """Of each trace."""
    return [max(one.gain for one in simple if one.trace == trace) for trace in {one.trace for one in simple}]


def _averages_of_simple(simple: Sequence[Simple]) -> dict[str, float]:
    names = dict.fromkeys(one.predictor for one in simple)
    return {name: mean(one.gain for one in simple if one.predictor == name) for name in names}


def _shown(figure: float) -> str:
    return "-" if math.isnan(figure) else f"{figure:.3f}"
