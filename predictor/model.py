"""The predictor's network: hashed embeddings and a dense layer for the ask, LSTM layers over the runs before
it, and heads for three quantiles of the log runtime over the base.

    a = [numbers of the ask | embeddings of its words]      e = tanh(a E + b)
    h = LSTM over the runs, then e, at its last step        outputs = h H + e D + a S + c
Pure NumPy, forward beside backward; nothing of Django. Called by predictor.train and predictor.estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from predictor.features import ASK_FEATURES, KINDS, RUN_FEATURES, Batch
from predictor.lstm import Array, Network, Params, Shape, Tape, at_last_step
from predictor.traits import BUCKETS

QUANTILES = (0.1, 0.5, 0.9)
SHARES = (1.0, 3.0, 1.0)  # of each quantile in the loss: the order of the queue hangs on the median
EMBEDDING = 8  # numbers per word
ENCODED = 32  # numbers that the ask enters the LSTM with

_ASKS = len(ASK_FEATURES)
_EMBEDDED = (len(KINDS) + 1) * EMBEDDING  # one per kind, and the mean of the other words
_DENSE = _ASKS + _EMBEDDED
_RUNS = len(RUN_FEATURES)


@dataclass(slots=True)
class ModelTape:
    """What the backward pass needs of the forward pass."""

    batch: Batch
    dense: Array  # (B, _DENSE)
    encoded: Array  # (B, ENCODED)
    outputs: Array  # of the LSTM, (T, B, len(QUANTILES))
    lstm: Tape


class Model:
    """Computes in the dtype of its parameters. `hidden` is the width of the LSTM's layers."""

    def __init__(self, hidden: int, params: Mapping[str, Array]) -> None:
        """Raises ValueError when a parameter is missing, unknown, of another shape or of another dtype."""
        lstm = {name: value for name, value in params.items() if name not in _OWN}
        self.lstm = Network(lstm_shape(hidden), lstm)
        for name, shape in _OWN.items():
            if name not in params:
                raise ValueError(f"expected a parameter {name}")
            if params[name].shape != shape:
                raise ValueError(f"{name}: expected the shape {shape}, got {params[name].shape}")
            if params[name].dtype != self.lstm.dtype:
                raise ValueError("expected one dtype for all parameters")
        self.hidden = hidden
        self.params: Params = {**{name: params[name] for name in _OWN}, **self.lstm.params}

    @classmethod
    def initial(cls, rng: np.random.Generator, hidden: int = 32, dtype: npt.DTypeLike = np.float32) -> Model:
        """Random layers; heads start at zero, so that an untrained model adds exactly nothing to the base."""
        params: Params = {name: np.zeros(shape, dtype) for name, shape in _OWN.items()}
        params["embedding"][...] = rng.normal(scale=0.05, size=_OWN["embedding"])
        params["encoder.weight"][...] = rng.normal(scale=_DENSE**-0.5, size=_OWN["encoder.weight"])
        return cls(hidden, {**params, **Network.initial(lstm_shape(hidden), rng, dtype).params})

    def copy(self) -> Model:
        return Model(self.hidden, {name: value.copy() for name, value in self.params.items()})

    def forward(self, batch: Batch) -> tuple[Array, ModelTape]:
        """Outputs (B, len(QUANTILES)), natural logs over the base, and the tape for `backward`."""
        dense, encoded, steps = self._steps(batch)
        outputs, tape = self.lstm.forward(steps, batch.lengths)
        total = self._total(at_last_step(outputs, batch.lengths), dense, encoded)
        return total, ModelTape(batch, dense, encoded, outputs, tape)

    def outputs(self, batch: Batch) -> Array:
        """As `forward`, for who only predicts: of a single job in less time."""
        if len(batch) > 1:
            return self.forward(batch)[0]
        dense, encoded, steps = self._steps(batch)
        return self._total(self.lstm.last(steps[:, 0]), dense, encoded)

    def _steps(self, batch: Batch) -> tuple[Array, Array, Array]:
        """What is known of the ask, that encoded, and the sequence: (B, _DENSE), (B, ENCODED), (T, B, ...)."""
        p = self.params
        dense = np.concatenate([batch.ask.astype(self.lstm.dtype, copy=False), self._embedded(batch)], axis=1)
        encoded = np.tanh(dense @ p["encoder.weight"] + p["encoder.bias"])
        steps = np.zeros((len(batch.runs), len(batch), _RUNS + ENCODED), self.lstm.dtype)
        steps[:, :, :_RUNS] = batch.runs
        steps[batch.lengths - 1, np.arange(len(batch)), _RUNS:] = encoded
        return dense, encoded, steps

    def _total(self, last: Array, dense: Array, encoded: Array) -> Array:
        total: Array = last + encoded @ self.params["head.encoded"] + dense @ self.params["head.dense"]
        return total

    def backward(self, d_outputs: Array, tape: ModelTape) -> Params:
        """Gradients of all parameters from that of the outputs (B, len(QUANTILES))."""
        p, places, last = self.params, np.arange(len(tape.batch)), tape.batch.lengths - 1
        d_steps = np.zeros_like(tape.outputs)
        d_steps[last, places] = d_outputs
        grads, d_x, _ = self.lstm.backward(d_steps, tape.lstm)
        d_encoded = d_x[last, places, _RUNS:] + d_outputs @ p["head.encoded"].T
        d_before = d_encoded * (1 - tape.encoded * tape.encoded)
        d_dense = d_outputs @ p["head.dense"].T + d_before @ p["encoder.weight"].T
        return {
            **grads,
            "head.encoded": tape.encoded.T @ d_outputs,
            "head.dense": tape.dense.T @ d_outputs,
            "encoder.weight": tape.dense.T @ d_before,
            "encoder.bias": d_before.sum(axis=0),
            "embedding": _embedding_gradient(tape.batch, d_dense[:, _ASKS:]),
        }

    def _embedded(self, batch: Batch) -> Array:
        table = self.params["embedding"]
        kinds = table[batch.words[:, : len(KINDS)]].reshape(len(batch), -1)
        others = batch.words[:, len(KINDS) :]
        words = (table[others] * _shares(others, table.dtype)[:, :, None]).sum(axis=1)
        return np.concatenate([kinds, words], axis=1)


def lstm_shape(hidden: int) -> Shape:
    return Shape(inputs=_RUNS + ENCODED, hidden=hidden, outputs=len(QUANTILES))


def _shares(words: npt.NDArray[Any], dtype: npt.DTypeLike) -> Array:
    """The weight of each word (B, WORDS) in their mean; 0 where there is none."""
    there = words >= 0
    shares: Array = (there / np.maximum(there.sum(axis=1, keepdims=True), 1)).astype(dtype)
    return shares


def _embedding_gradient(batch: Batch, d_embedded: Array) -> Array:
    """Of the table (BUCKETS, EMBEDDING), from that of what was made of it (B, _EMBEDDED)."""
    kinds, others = batch.words[:, : len(KINDS)], batch.words[:, len(KINDS) :]
    of_kinds = d_embedded[:, : len(KINDS) * EMBEDDING].reshape(-1, EMBEDDING)
    shares = _shares(others, d_embedded.dtype)[:, :, None]
    of_words = (d_embedded[:, None, len(KINDS) * EMBEDDING :] * shares).reshape(-1, EMBEDDING)
    rows = np.concatenate([kinds.reshape(-1), np.maximum(others, 0).reshape(-1)])
    values = np.concatenate([of_kinds, of_words])
    columns = [np.bincount(rows, values[:, column], BUCKETS) for column in range(EMBEDDING)]
    gradient: Array = np.stack(columns, axis=1).astype(d_embedded.dtype)
    return gradient


_OWN: Mapping[str, tuple[int, ...]] = {
    "embedding": (BUCKETS, EMBEDDING),
    "encoder.weight": (_DENSE, ENCODED),
    "encoder.bias": (ENCODED,),
    "head.encoded": (ENCODED, len(QUANTILES)),
    "head.dense": (_DENSE, len(QUANTILES)),
}
