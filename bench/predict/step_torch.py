"""`python -m bench.predict.step_torch REPEATS`: the training steps of step_ours in PyTorch, under its own Python."""

from __future__ import annotations

from typing import Any

import torch  # type: ignore[import-not-found]

from bench.predict.shapes import CLIP, DECAY, RATE, SMOOTH, Step, StepShape, measure
from predictor.features import ASK_FEATURES, KINDS, RUN_FEATURES
from predictor.model import EMBEDDING, ENCODED, QUANTILES, lstm_shape
from predictor.traits import BUCKETS, WORDS


class Lstm(torch.nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        shape = lstm_shape(hidden)
        self.layers = torch.nn.LSTM(shape.inputs, hidden, num_layers=shape.layers)
        self.head = torch.nn.Linear(hidden, len(QUANTILES))

    def forward(self, x: Any) -> Any:
        return self.head(self.layers(x)[0][-1])


class Model(torch.nn.Module):
    """The predictor's network: see predictor.model."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        dense = len(ASK_FEATURES) + (len(KINDS) + 1) * EMBEDDING
        self.table = torch.nn.Embedding(BUCKETS, EMBEDDING)
        self.encoder = torch.nn.Linear(dense, ENCODED)
        self.lstm = Lstm(hidden)
        self.of_encoded = torch.nn.Linear(ENCODED, len(QUANTILES), bias=False)
        self.of_dense = torch.nn.Linear(dense, len(QUANTILES), bias=False)

    def forward(self, ask: Any, words: Any, runs: Any) -> Any:
        embedded = self.table(words)
        kinds, others = embedded[:, : len(KINDS)], embedded[:, len(KINDS) :]
        dense = torch.cat([ask, kinds.flatten(1), others.mean(1)], dim=1)
        encoded = torch.tanh(self.encoder(dense))
        asks = torch.zeros(*runs.shape[:2], ENCODED)
        asks[-1] = encoded
        last = self.lstm(torch.cat([runs, asks], dim=2))
        return last + self.of_encoded(encoded) + self.of_dense(dense)


def training_step(shape: StepShape) -> Step:
    """Forward, loss, backward through time, clipping and Adam with decoupled decay; answers the loss."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network, inputs = _network(shape)
    params = list(network.parameters())
    adam = torch.optim.AdamW(params, lr=RATE, weight_decay=DECAY)
    targets, over = torch.randn(shape.batch, 1), torch.tensor(QUANTILES)

    def step() -> float:
        adam.zero_grad()
        loss = _pinball(targets - network(*inputs), over)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, CLIP)
        adam.step()
        return float(loss.detach())

    return step


def _network(shape: StepShape) -> tuple[Any, tuple[Any, ...]]:
    """A network and what it reads."""
    if shape.kind == "lstm":
        return Lstm(shape.hidden), (torch.randn(shape.steps, shape.batch, lstm_shape(shape.hidden).inputs),)
    ask = torch.randn(shape.batch, len(ASK_FEATURES))
    words = torch.randint(0, BUCKETS, (shape.batch, len(KINDS) + WORDS))
    return Model(shape.hidden), (ask, words, torch.randn(shape.steps, shape.batch, len(RUN_FEATURES)))


def _pinball(error: Any, over: Any) -> Any:
    size = error.abs()
    bent = torch.where(size < SMOOTH, error * error / (2 * SMOOTH), size - SMOOTH / 2)
    return (torch.where(error >= 0, over, 1 - over) * bent).mean()


if __name__ == "__main__":
    measure(training_step)
