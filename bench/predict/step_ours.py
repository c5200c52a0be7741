"""`python -m bench.predict.step_ours REPEATS`: training steps of the predictor, see bench.predict.shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.predict.shapes import CLIP, DECAY, RATE, Step, StepShape, measure
from predictor.features import ASK_FEATURES, KINDS, RUN_FEATURES, Batch
from predictor.lstm import Array, Network, Params
from predictor.model import QUANTILES, Model, lstm_shape
from predictor.optim import Adam, clip_global_norm, pinball
from predictor.traits import BUCKETS, WORDS


def training_step(shape: StepShape) -> Step:
    """Forward, loss, backward through time, clipping and Adam; answers the loss."""
    rng = np.random.default_rng(0)
    return _model_step(shape, rng) if shape.kind == "model" else _lstm_step(shape, rng)


def _lstm_step(shape: StepShape, rng: np.random.Generator) -> Step:
    network = Network.initial(lstm_shape(shape.hidden), rng)
    adam = Adam(network.params, rate=RATE, decay=DECAY)
    x = _random(rng, shape.steps, shape.batch, network.shape.inputs)
    targets = _random(rng, shape.batch)

    def step() -> float:
        outputs, tape = network.forward(x)
        loss, d_last = pinball(outputs[-1], targets, QUANTILES)
        d_outputs = np.zeros_like(outputs)
        d_outputs[-1] = d_last
        _update(adam, network.backward(d_outputs, tape)[0])
        return loss

    return step


def _model_step(shape: StepShape, rng: np.random.Generator) -> Step:
    model = Model.initial(rng, shape.hidden)
    adam = Adam(model.params, rate=RATE, decay=DECAY)
    batch = Batch(
        ask=_random(rng, shape.batch, len(ASK_FEATURES)),
        words=rng.integers(0, BUCKETS, (shape.batch, len(KINDS) + WORDS)),
        runs=_random(rng, shape.steps, shape.batch, len(RUN_FEATURES)),
        lengths=np.full(shape.batch, shape.steps),
    )
    targets = _random(rng, shape.batch)

    def step() -> float:
        outputs, tape = model.forward(batch)
        loss, d_outputs = pinball(outputs, targets, QUANTILES)
        _update(adam, model.backward(d_outputs, tape))
        return loss

    return step


def _update(adam: Adam, grads: Params) -> None:
    clip_global_norm(grads, CLIP)
    adam.step(grads)


def _random(rng: np.random.Generator, *size: int) -> Array:
    numbers: Any = rng.normal(size=size).astype(np.float32)
    return numbers


if __name__ == "__main__":
    measure(training_step)
