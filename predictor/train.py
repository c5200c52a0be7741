"""Training: from a history of runs to a network, and how it compares with the base it corrects.

No Django. The history is cut in time: the oldest part teaches, the next one says when to stop, and the
newest, seen by neither, judges. An example of one part may only rest on runs that had ended when the
part after it began. Called by `manage.py retrain`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from predictor.blas import one_thread
from predictor.estimate import correct, median
from predictor.exceptions import FailedTraining
from predictor.features import FEATURES, Example, Sequences, example
from predictor.history import DONE, Run, replay, robust_base
from predictor.lstm import Array, Indices, Network, Params, Shape, at_last_step
from predictor.optim import Adam, clip_global_norm, pinball

MIN_RUNS = 50
Progress = Callable[[int, float, float], None]  # epoch, loss on the training part, loss on the stopping part


class TooLittleHistory(Exception):
    """There is not enough history to learn from; the message says how much there is and what to do."""

    def __init__(self, found: str) -> None:
        super().__init__(f"{found}. Run more jobs over time and try again.")


@dataclass(frozen=True, slots=True)
class Config:
    """All that can be tuned. Shares are of the examples, in order of time; what is left judges."""

    hidden: int = 32
    quantiles: tuple[float, ...] = (0.5,)
    train_share: float = 0.7
    stop_share: float = 0.15
    batch: int = 64
    max_epochs: int = 40
    patience: int = 4
    rate: float = 3e-3
    decay: float = 0.1
    clip: float = 1.0


@dataclass(frozen=True, slots=True)
class Trained:
    """A network, and on the newest slice: median absolute percentage error and mean |log2 ratio|.

    The mean decides which is better: it counts every run, and twice the runtime as much as half of it.
    """

    network: Network
    metrics: dict[str, float]

    @property
    def beats_base(self) -> bool:
        return self.metrics["log2_network"] < self.metrics["log2_base"]


class Slice:
    """Consecutive examples as sequences, with their targets: log of the true runtime over the base (N,)."""

    def __init__(self, entries: Sequence[tuple[Example, Run]]) -> None:
        self.sequences = Sequences([entry for entry, _ in entries])
        self.targets: Array = np.array([run.log_ms - entry.base.log_ms for entry, run in entries], np.float32)

    def __len__(self) -> int:
        return len(self.targets)


def train(
    runs: Sequence[Run],
    *,
    rng: np.random.Generator,
    config: Config | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Fit a network to a history. Raises TooLittleHistory below MIN_RUNS runs that ended well, and
    FailedTraining when what comes out is no number."""
    config = config or Config()
    begun = time.perf_counter()
    teach, stop, judge = split(runs, config)
    with one_thread():
        network, epochs = _fit(teach, stop, rng, config, progress)
    metrics = evaluate(network, judge)
    _check_finite(metrics)
    sizes = {"n_train": len(teach), "n_stop": len(stop), "n_val": len(judge), "epochs": epochs}
    return Trained(network, metrics | sizes | {"seconds": round(time.perf_counter() - begun, 3)})


def _check_finite(metrics: dict[str, float]) -> None:
    wrong = ", ".join(f"{name} is {value}" for name, value in metrics.items() if not math.isfinite(value))
    if wrong:
        raise FailedTraining(f"expected finite errors on the newest runs, but {wrong}; try another --seed")


def split(runs: Sequence[Run], config: Config) -> tuple[Slice, Slice, Slice]:
    """The examples of a history in three parts, cut in time."""
    done = sum(run.outcome == DONE for run in runs)
    if done < MIN_RUNS:
        raise TooLittleHistory(f"Expected at least {MIN_RUNS} runs that ended well, found {done}")
    entries = _entries(runs)
    first = int(len(entries) * config.train_share)
    second = int(len(entries) * (config.train_share + config.stop_share))
    if not 0 < first < second < len(entries):
        raise TooLittleHistory(
            f"Only {len(entries)} of the {done} runs that ended well were asked for after another run of "
            "their type had ended, and the rest cannot be predicted from another"
        )
    stop_from, judge_from = entries[first][0].ask.at, entries[second][0].ask.at
    teach = [entry for entry in entries[:first] if entry[1].ended_at <= stop_from]
    stop = [entry for entry in entries[first:second] if entry[1].ended_at <= judge_from]
    if not teach or not stop:
        raise TooLittleHistory(
            "The runs overlap too much: the newer ones were asked for before any of the older ones had "
            "ended, so that none can be predicted from another"
        )
    return Slice(teach), Slice(stop), Slice(entries[second:])


def _entries(runs: Sequence[Run]) -> list[tuple[Example, Run]]:
    """Every run that ended well and had a base when it was asked for, in that order."""
    entries = []
    for ask, past, run in replay(runs):
        base = robust_base(ask, past) if run.outcome == DONE else None
        if base:
            entries.append((example(ask, past, base), run))
    return entries


def _fit(
    teach: Slice, stop: Slice, rng: np.random.Generator, config: Config, progress: Progress | None
) -> tuple[Network, int]:
    """Epochs until the stopping part has not improved for `patience` of them; the best weights win."""
    shape = Shape(inputs=len(FEATURES), hidden=config.hidden, outputs=len(config.quantiles))
    network = Network.initial(shape, rng)
    adam = Adam(network.params, rate=config.rate, decay=config.decay)
    best, best_params, best_epoch, epoch = math.inf, network.params, 0, 0
    while epoch < config.max_epochs and epoch - best_epoch < config.patience:
        epoch += 1
        loss = _epoch(network, adam, teach, rng, config)
        stop_loss, _ = pinball(correct(network, stop.sequences), stop.targets, config.quantiles)
        if progress:
            progress(epoch, loss, stop_loss)
        if stop_loss < best:
            best, best_epoch = stop_loss, epoch
            best_params = {name: value.copy() for name, value in network.params.items()}
    return Network(shape, best_params), epoch


def _epoch(network: Network, adam: Adam, teach: Slice, rng: np.random.Generator, config: Config) -> float:
    """Every example once, in random mini-batches; returns the mean loss on the way."""
    order, losses = rng.permutation(len(teach)), []
    for start in range(0, len(order), config.batch):
        rows = order[start : start + config.batch]
        loss, grads = gradients(network, *teach.sequences.batch(rows), teach.targets[rows], config.quantiles)
        clip_global_norm(grads, config.clip)
        adam.step(grads)
        losses.append(loss)
    return float(np.mean(losses))


def gradients(
    network: Network, x: Array, lengths: Indices, targets: Array, quantiles: Sequence[float]
) -> tuple[float, Params]:
    """Loss of the last real outputs for x (T, B, inputs) against targets (B,), and its gradients."""
    outputs, tape = network.forward(x, lengths)
    loss, d_last = pinball(at_last_step(outputs, lengths), targets, quantiles)
    d_outputs = np.zeros_like(outputs)
    d_outputs[lengths - 1, np.arange(len(lengths))] = d_last
    return loss, network.backward(d_outputs, tape)[0]


def evaluate(network: Network, judge: Slice) -> dict[str, float]:
    """Errors of the network's median and of the base alone on a slice."""
    middle = median(correct(network, judge.sequences))
    metrics = {}
    for name, off in (("network", middle - judge.targets), ("base", -judge.targets)):
        metrics[f"median_ape_{name}"] = float(np.median(np.abs(np.expm1(off))))
        metrics[f"log2_{name}"] = float(np.mean(np.abs(off)) / math.log(2))
    return metrics
