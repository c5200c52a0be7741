"""From the past of jobs to estimates of their runtimes, with a network or without.

Pure: no Django, no clock. The base answers where there are runs to make it of, corrected by the network
if there is one; where there is nothing, the cold start answers. Called by predictor.service; training
measures the same `correct`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from predictor import coldstart
from predictor.blas import one_thread
from predictor.features import Sequences, example
from predictor.history import Ask, Base, Past, robust_base
from predictor.lstm import Array, Network, at_last_step

COLD_START, BASE, LSTM = "cold_start", "base", "lstm"
SHORTEST_MS = 1.0
LONGEST_MS = 7 * 86_400_000.0
LARGEST_CORRECTION = 10.0  # in log: a factor of 22,000, more than a network that works puts out
_BATCH = 128


@dataclass(frozen=True, slots=True)
class Estimate:
    """A runtime in milliseconds and what it rests on."""

    runtime_ms: float
    source: str


def estimate(network: Network | None, asked: Sequence[tuple[Ask, Past]]) -> list[Estimate | None]:
    """One estimate per ask, in order, held within 1 ms to 7 days; None where the network is absurd."""
    found = [(ask, past, robust_base(ask, past)) for ask, past in asked]
    based = [(ask, past, base) for ask, past, base in found if base]
    corrections = iter(_corrections(network, based))
    source = BASE if network is None else LSTM
    return [
        _corrected(base, next(corrections), source) if base else cold_start(ask, past)
        for ask, past, base in found
    ]


def cold_start(ask: Ask, past: Past) -> Estimate:
    last_types = [run.job_type for run in list(past.of_org)[-coldstart.CONTEXT_JOBS :]]
    return Estimate(coldstart.predicted_ms(ask.job_type, last_types), COLD_START)


def correct(network: Network, sequences: Sequences) -> Array:
    """What the network adds to the log base of each example: (N, outputs)."""
    parts = [np.zeros((0, network.shape.outputs), network.dtype)]
    with one_thread():
        for start in range(0, len(sequences), _BATCH):
            x, lengths = sequences.batch(np.arange(start, min(start + _BATCH, len(sequences))))
            parts.append(at_last_step(network.forward(x, lengths)[0], lengths))
    return np.concatenate(parts)


def median(outputs: Array) -> Array:
    """The output that stands for the median (N,) of outputs (N, Q) in rising order of quantile."""
    middle: Array = outputs[:, outputs.shape[1] // 2]
    return middle


def _corrections(network: Network | None, based: Sequence[tuple[Ask, Past, Base]]) -> list[float]:
    if network is None or not based:
        return [0.0] * len(based)
    sequences = Sequences([example(ask, past, base) for ask, past, base in based])
    return [float(value) for value in median(correct(network, sequences))]


def _corrected(base: Base, correction: float, source: str) -> Estimate | None:
    # Written so that NaN, which compares false with everything, is refused too.
    if not (math.isfinite(base.log_ms) and abs(correction) <= LARGEST_CORRECTION):
        return None
    log_ms = min(max(base.log_ms + correction, math.log(SHORTEST_MS)), math.log(LONGEST_MS))
    return Estimate(math.exp(log_ms), source)
