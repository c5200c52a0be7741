"""Training: from examples in order of time to a model.

NumPy only, no Django. Old examples are drawn less often, by an exponential decay over their number; the
newest part is kept back to say when to stop. `Trainer` also makes the small steps of learning online,
whose weights are averaged over the last steps: a single batch may point anywhere.
Called by predictor.learner.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from predictor.blas import use_one_thread
from predictor.features import Example, batch
from predictor.history import Run
from predictor.lstm import Array, Params
from predictor.model import QUANTILES, SHARES, Model
from predictor.optim import Adam, clip_global_norm, pinball

Progress = Callable[[str, float, str], None]  # stage, share of it that is done, what there is to say of it


@dataclass(frozen=True, slots=True)
class Config:
    """All that can be tuned; one setting serves all histories."""

    hidden: int = 32
    batch: int = 128
    epochs: int = 4  # from scratch
    more_epochs: int = 2  # from the weights in force
    patience: int = 2
    rate: float = 3e-3
    decay: float = 1e-2  # of weights
    clip: float = 1.0
    half_life: float = 10_000.0  # examples after which one is drawn half as often
    stop_share: float = 0.1  # newest examples that say when to stop and how far to believe it
    judge_share: float = 0.1  # the very newest, which only judge
    online_every: int = 64  # outcomes
    online_steps: int = 8
    online_rate: float = 2e-3
    online_window: int = 4_000  # newest examples that the online steps draw from
    averaged: float = 0.98  # of the averaged weights that one online step leaves

    def cuts(self, lessons: int) -> tuple[int, int]:
        """Where those that are learned from end, and those that say when to stop; the rest judges."""
        judged, stopped = (max(1, round(lessons * share)) for share in (self.judge_share, self.stop_share))
        return max(1, lessons - judged - stopped), lessons - judged


@dataclass(frozen=True, slots=True)
class Lesson:
    """An example and what came of it: the log of the true runtime over the base, or a bound below it."""

    example: Example
    target: float
    censored: bool


def lesson(example: Example, run: Run) -> Lesson:
    return Lesson(example, run.log_ms - example.log_base, run.censored)


class Trainer:
    """`model` moves with every step; `steady` is the average that predictions are made with."""

    def __init__(self, model: Model, rng: np.random.Generator, config: Config) -> None:
        self.model, self.steady = model, model.copy()
        self._rng, self._config = rng, config
        self._adam = Adam(model.params, rate=config.rate, decay=config.decay)

    def fit(
        self,
        teach: Sequence[Lesson],
        stop: Sequence[Lesson],
        epochs: int,
        progress: Progress | None = None,
    ) -> float:
        """Train on `teach`; `stop` says which epoch was best. Its loss on those."""
        best, best_params, since_best = self.loss(stop), _copied(self.model.params), 0
        steps = epochs * self._steps(len(teach))
        step = 0
        for epoch in range(1, epochs + 1):
            losses = []
            for rows in self._drawn(len(teach)):
                self._adam.rate = self._config.rate * (1 - 0.9 * min(step / steps, 1.0))
                losses.append(self._step([teach[row] for row in rows]))
                step += 1
            loss = self.loss(stop)
            since_best = 0 if loss < best else since_best + 1
            if loss < best:
                best, best_params = loss, _copied(self.model.params)
            is_over = epoch == epochs or since_best >= self._config.patience
            if progress:
                said = f"epoch {epoch}: loss {np.mean(losses):.4f}, on later runs {loss:.4f}"
                progress("learning", 1.0 if is_over else epoch / epochs, said)
            if is_over:
                break
        self._restore(best_params)
        return best

    def learn(self, lessons: Sequence[Lesson]) -> None:
        """A few small steps on the newest lessons, the very newest most often."""
        config = self._config
        self._adam.rate = config.online_rate
        window = lessons[-config.online_window :]
        for _ in range(config.online_steps):
            back = (self._rng.random(config.batch) ** 2 * len(window)).astype(int)
            self._step([window[len(window) - 1 - place] for place in back])
            self._average()

    def loss(self, lessons: Sequence[Lesson]) -> float:
        """Mean quantile loss of `model`; infinite without lessons."""
        if not lessons:
            return math.inf
        outputs = outputs_of(self.model, [one.example for one in lessons])
        targets, censored = _targets(lessons)
        return pinball(outputs, targets, QUANTILES, censored=censored, shares=SHARES)[0]

    def _steps(self, lessons: int) -> int:
        life = self._config.half_life / math.log(2)
        drawn = life * (1 - math.exp(-lessons / life))
        return max(1, math.ceil(drawn / self._config.batch))

    def _drawn(self, lessons: int) -> list[npt.NDArray[np.intp]]:
        """Row numbers of one epoch in mini-batches; an old lesson has its chance only now and then."""
        age = np.arange(lessons - 1, -1, -1)
        rows = np.flatnonzero(self._rng.random(lessons) < 0.5 ** (age / self._config.half_life))
        self._rng.shuffle(rows)
        return [rows[at : at + self._config.batch] for at in range(0, len(rows), self._config.batch)]

    def _step(self, lessons: Sequence[Lesson]) -> float:
        targets, censored = _targets(lessons)
        use_one_thread()
        loss, grads = gradients(self.model, [one.example for one in lessons], targets, censored)
        clip_global_norm(grads, self._config.clip)
        self._adam.step(grads)
        return loss

    def _average(self) -> None:
        share = 1 - self._config.averaged
        for name, value in self.model.params.items():
            steady = self.steady.params[name]
            steady += share * (value - steady)

    def _restore(self, params: Params) -> None:
        for name, value in params.items():
            self.model.params[name][...] = value
            self.steady.params[name][...] = value


def gradients(
    model: Model, examples: Sequence[Example], targets: Array, censored: npt.NDArray[np.bool_]
) -> tuple[float, Params]:
    outputs, tape = model.forward(batch(examples))
    loss, d_outputs = pinball(outputs, targets, QUANTILES, censored=censored, shares=SHARES)
    return loss, model.backward(d_outputs, tape)


def outputs_of(model: Model, examples: Sequence[Example], at_once: int = 256) -> Array:
    """What the model adds to the log base of each example: (N, len(QUANTILES)), in rising order."""
    parts = [np.zeros((0, len(QUANTILES)), model.lstm.dtype)]
    use_one_thread()
    for start in range(0, len(examples), at_once):
        parts.append(model.outputs(batch(examples[start : start + at_once])))
    outputs: Array = np.sort(np.concatenate(parts), axis=1)
    return outputs


def _targets(lessons: Sequence[Lesson]) -> tuple[Array, npt.NDArray[np.bool_]]:
    targets: Array = np.array([one.target for one in lessons], np.float32)
    return targets, np.array([one.censored for one in lessons], np.bool_)


def _copied(params: Params) -> Params:
    return {name: value.copy() for name, value in params.items()}
