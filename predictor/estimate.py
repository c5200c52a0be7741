"""From the past of jobs to estimates of their runtimes, with a network or without.

Pure: no Django, no clock. The base answers where there are runs to make it of, corrected by the network as
far as it has earned it; where there is nothing, the cold start answers. Called by predictor.service.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from predictor import coldstart
from predictor.features import examples
from predictor.history import Ask, Base, Past, hashed, log_timeout_ms, robust_base
from predictor.model import Model
from predictor.shadow import Shadow
from predictor.train import outputs_of

COLD_START, BASE, LSTM = "cold_start", "base", "lstm"
SHORTEST_MS = 1.0
LONGEST_MS = 7 * 86_400_000.0
_LONGEST_LOG_MS = math.log(LONGEST_MS)
LARGEST_CORRECTION = 10.0  # in log: a factor of 22,000, more than a network that works puts out
WITHOUT_NETWORK = (-0.7, 0.0, 0.7)  # around the base: a factor of two either way

_TYPE_OF = {hashed(name): name for name in coldstart.JOB_TYPES}


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a trained version knows: the network, and the log of the runtime of each type over all organisations.
    Without a network and levels it is the cold start."""

    network: Model | None = None
    levels: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """A job that is asked about, what is known of it, and how far the network is believed there."""

    ask: Ask
    past: Past
    shadow: Shadow = field(default_factory=Shadow)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A runtime in milliseconds, what it rests on, and the interval that holds it with 80 % probability.
    `absurd`: the network put out what cannot be, and was left aside."""

    runtime_ms: float
    source: str
    low_ms: float | None = None
    high_ms: float | None = None
    absurd: bool = False


def estimate(knowledge: Knowledge, questions: Sequence[Question]) -> list[Estimate]:
    """One estimate per question, in order, held within 1 ms to 7 days and never above the job's time limit."""
    bases = [robust_base(one.ask, one.past, knowledge.levels) for one in questions]
    read = _read(knowledge.network, questions, bases)
    return [
        _corrected(one, base, read.get(place)) if base else cold_start(one.ask, one.past)
        for place, (one, base) in enumerate(zip(questions, bases, strict=True))
    ]


@dataclass(frozen=True, slots=True)
class Origin:
    """What an estimate comes from. `base`: None for the cold start. `correction`: the network's, as a factor of the
    base; 1 without a network. `trust`: the share of it (of its log) that is served."""

    estimate: Estimate
    base: Base | None = None
    correction: float = 1.0
    trust: float = 0.0


def origin(knowledge: Knowledge, one: Question) -> Origin:
    """The same estimate as `estimate` makes, and what it comes from."""
    base = robust_base(one.ask, one.past, knowledge.levels)
    if base is None:
        return Origin(cold_start(one.ask, one.past))
    outputs = _read(knowledge.network, [one], [base]).get(0)
    made = _corrected(one, base, outputs)
    if outputs is None or made.absurd:
        return Origin(made, base)
    return Origin(made, base, math.exp(outputs[1]), one.shadow.share)


def cold_start(ask: Ask, past: Past) -> Estimate:
    """From the last three types of the organisation, as far as they are known."""
    of_org = past.windows[-1]
    types = [_TYPE_OF.get(run.type_hash, "") for run in of_org.runs] if of_org else []
    limit_ms = ask.timeout_s * 1000 or math.inf
    return Estimate(min(coldstart.predicted_ms(ask.job_type, types), limit_ms), COLD_START)


def _read(
    network: Model | None, questions: Sequence[Question], bases: Sequence[Base | None]
) -> dict[int, tuple[float, float, float]]:
    """What the network puts out for each question that has a base, by place."""
    if network is None:
        return {}
    based = [(place, base) for place, base in enumerate(bases) if base]
    read = examples([(questions[place].ask, questions[place].past, base) for place, base in based])
    outputs = outputs_of(network, read).tolist()
    return {place: (row[0], row[1], row[2]) for (place, _), row in zip(based, outputs, strict=True)}


def _corrected(one: Question, base: Base, outputs: tuple[float, float, float] | None) -> Estimate:
    absurd = outputs is not None and not sane(outputs)
    used = WITHOUT_NETWORK if outputs is None or absurd else outputs
    served = one.shadow.serve(base.log_ms, used, log_timeout_ms(one.ask) or math.inf)
    source = LSTM if used is outputs and one.shadow.share else BASE
    return Estimate(in_ms(served.median), source, in_ms(served.low), in_ms(served.high), absurd)


def sane(outputs: tuple[float, float, float]) -> bool:
    """Written so that NaN, which compares false with everything, is none either."""
    return all(abs(value) <= LARGEST_CORRECTION for value in outputs)


def in_ms(log_ms: float) -> float:
    """Milliseconds, held within what a job may take."""
    return max(math.exp(min(log_ms, _LONGEST_LOG_MS)), SHORTEST_MS)
