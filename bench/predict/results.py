"""Tables and goals of the replays: one row per trace and predictor, then the averages over the traces."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bench import report
from bench.goals import Goal
from bench.predict.ordering import Gain
from bench.predict.scores import Scores
from bench.predict.smartqueue import NAME

SIMPLE = ("global_median", "median_un", "last2_user", "ewma_un")
BOOSTED = ("hgb", "hgb_res", "hgb_abs")

LOG2_TARGET, PAIRS_TARGET = 0.87, 0.745
BETTER_SHARE, WORST_RATIO = 5 / 7, 1.03
LEAST_COVERAGE, MOST_COVERAGE = 0.76, 0.84

COLUMNS = ("median APE", "log2 error", "Spearman", "pairs", "coverage", "gain, wait", "gain, slowdown")


@dataclass(frozen=True)
class Result:
    """One predictor on one trace; `seed` None for those that draw nothing at random."""

    trace: str
    predictor: str
    seed: int | None
    scores: Scores
    gain: Gain

    @property
    def label(self) -> str:
        return self.predictor if self.seed is None else f"{self.predictor}, seed {self.seed}"

    @property
    def figures(self) -> list[float]:
        scores, gain = self.scores, self.gain
        errors = [scores.mdape, scores.log2, scores.spearman, scores.pairs]
        return [*errors, scores.coverage, gain.wait, gain.slowdown]


def print_trace(title: str, results: Sequence[Result]) -> None:
    rows = [[result.label, *map(_shown, result.figures)] for result in results]
    report.table(title, ["predictor", *COLUMNS], rows)


def print_averages(results: Sequence[Result]) -> None:
    by_label: defaultdict[str, list[list[float]]] = defaultdict(list)
    for result in results:
        by_label[result.label].append(result.figures)
    rows = [
        [label, *(_shown(sum(column) / len(column)) for column in zip(*figures, strict=True))]
        for label, figures in by_label.items()
    ]
    traces = len({result.trace for result in results})
    report.table(f"Average over {traces} trace(s)", ["predictor", *COLUMNS], rows)


def goals(results: Sequence[Result]) -> list[Goal]:
    """Of the served prediction, by the worst of its seeds; none without it."""
    seeds: defaultdict[int | None, list[Result]] = defaultdict(list)
    for result in results:
        if result.predictor == NAME:
            seeds[result.seed].append(result)
    if not seeds:
        return []
    return [*_averages(list(seeds.values())), *_against_others(results, list(seeds.values()))]


def _averages(seeds: Sequence[Sequence[Result]]) -> list[Goal]:
    log2 = max(_mean([result.scores.log2 for result in own]) for own in seeds)
    pairs = min(_mean([result.scores.pairs for result in own]) for own in seeds)
    covered = [result.scores.coverage for own in seeds for result in own]
    return [
        Goal("log2 error, average over the traces", log2, LOG2_TARGET),
        Goal("pairs in the right order, average over the traces", pairs, PAIRS_TARGET, at_least=True),
        Goal("coverage of the 80 % interval, least", min(covered), LEAST_COVERAGE, at_least=True),
        Goal("coverage of the 80 % interval, most", max(covered), MOST_COVERAGE),
    ]


def _against_others(results: Sequence[Result], seeds: Sequence[Sequence[Result]]) -> list[Goal]:
    found = []
    for name, predictors in (("simple predictor", SIMPLE), ("predictor", (*SIMPLE, *BOOSTED))):
        best = best_log2(results, predictors)
        ratios = [[result.scores.log2 / best[result.trace] for result in own] for own in seeds]
        below = min(sum(ratio < 1 for ratio in own) for own in ratios)
        enough = math.ceil(BETTER_SHARE * len(best))
        worst = max(max(own) for own in ratios)
        found += [
            Goal(f"traces below the best {name}, of {len(best)}", below, enough, at_least=True),
            Goal(f"log2 error over the best {name}'s, worst trace", worst, WORST_RATIO),
        ]
        if not any(result.predictor in BOOSTED for result in results):
            break
    return found


def best_log2(results: Sequence[Result], predictors: Sequence[str]) -> dict[str, float]:
    """By trace, the least mean |log2| that one of `predictors` reached on it."""
    best: dict[str, float] = {}
    for result in results:
        if result.predictor in predictors:
            best[result.trace] = min(result.scores.log2, best.get(result.trace, math.inf))
    return best


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _shown(figure: float) -> str:
    return "-" if math.isnan(figure) else f"{figure:.3f}"
