"""Which job types a report tells apart in its plots: the most frequent ones; the rest is drawn together."""

from __future__ import annotations

from collections import Counter

from predictor.report.data import Columns
from predictor.report.svg import SHAPES

Group = tuple[str, int, Columns]  # its name, the number of its shape and colour, its runs


def groups(runs: Columns) -> list[Group]:
    """By name; where there are more types than shapes, the rarest ones are one group at the end."""
    kinds = runs.kinds()
    if len(kinds) <= len(SHAPES):
        return [(kind, place, runs.of({kind})) for place, kind in enumerate(kinds)]
    often = sorted(kind for kind, _ in Counter(runs.kind).most_common(len(SHAPES) - 1))
    rest = runs.of(set(kinds) - set(often))
    named = [(kind, place, runs.of({kind})) for place, kind in enumerate(often)]
    return [*named, (f"{len(kinds) - len(often)} other types", len(often), rest)]
