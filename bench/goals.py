"""The last lines of every bench: one per goal, and an exit code that says whether all are met."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """`figure` must be at most (or at least) `target`; `unit` is printed behind both."""

    name: str
    figure: float
    target: float
    unit: str = ""
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.figure >= self.target if self.at_least else self.figure <= self.target

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        verdict = "ok" if self.met else "short"
        return f"goal {self.name}: {self.figure:.4g}{self.unit} (target {sign} {self.target:g}{self.unit}) {verdict}"


def conclude(goals: list[Goal]) -> None:
    """Print the goals and leave with 1 when one is short."""
    print()
    for goal in goals:
        print(goal)
    sys.exit(0 if all(goal.met for goal in goals) else 1)
