"""The training steps that are measured, alike on both sides, and how: imported by two Pythons, so plain.

`lstm` is the two layers with the head alone, on inputs as wide as those of the predictor's; `model` is all of the
predictor's network. Sequences have their full length.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

SMOOTH, CLIP, RATE, DECAY = 0.1, 1.0, 3e-3, 1e-2
WARM_UP = 5

Step = Callable[[], float]


class StepShape(NamedTuple):
    kind: str
    batch: int
    steps: int
    hidden: int

    def __str__(self) -> str:
        return f"{self.kind}, batch {self.batch}, {self.steps} steps, {self.hidden} units"


SHAPES = (
    StepShape("lstm", 1, 12, 32),
    StepShape("lstm", 1, 16, 64),
    StepShape("lstm", 64, 16, 32),
    StepShape("lstm", 256, 12, 32),
    StepShape("lstm", 256, 16, 64),
    StepShape("model", 1, 12, 32),
    StepShape("model", 128, 12, 32),
)


def measure(make: Callable[[StepShape], Step]) -> None:
    """Print the median CPU milliseconds of a step in each shape, as JSON lines; the argument says of how many.

    On one thread that is what it takes on a machine of its own, whatever else runs on this one.
    """
    for shape in SHAPES:
        step = make(shape)
        for _ in range(WARM_UP):
            step()
        times = []
        for _ in range(int(sys.argv[1])):
            began = time.process_time()
            step()
            times.append((time.process_time() - began) * 1000)
        print(json.dumps({"shape": str(shape), "ms": statistics.median(times)}), flush=True)
