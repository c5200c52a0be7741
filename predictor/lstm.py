"""The network: LSTM layers and a linear head in plain NumPy, with the gradient through time.

Model of one layer, for inputs x and hidden size H, with the gates [i f o g] = W [x h] + b:
    c' = sigmoid(f) c + sigmoid(i) tanh(g)        h' = sigmoid(o) tanh(c')
Callers see time-major arrays: T steps, B sequences, then the width. Inside, the batch comes last, so that
each gate of a step is one contiguous block. Shorter sequences are padded at the end: the network only
looks back, so padding can reach no step that counts.
Nothing of Django, jobs or features is known here. Called by predictor.train and predictor.service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.integer[Any]]
Params = dict[str, Array]
LayerState = tuple[Array, Array]  # h (H, B), c (H, B)
State = Sequence[LayerState]

FORGET_BIAS = 1.0


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a network: width of a step, hidden units per layer, outputs per step, number of layers."""

    inputs: int
    hidden: int = 32
    outputs: int = 1
    layers: int = 2

    def parameters(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, in a fixed order."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(self.layers):
            width = self.inputs if layer == 0 else self.hidden
            shapes[f"layer{layer}.weight"] = (4 * self.hidden, width + self.hidden)
            shapes[f"layer{layer}.bias"] = (4 * self.hidden,)
        shapes["head.weight"] = (self.outputs, self.hidden)
        shapes["head.bias"] = (self.outputs,)
        return shapes


@dataclass(slots=True)
class LayerTape:
    """What the backward pass of one layer needs of its forward pass."""

    x: Array  # (T, D, B)
    h: Array  # (T + 1, H, B), the state before the first step at 0
    c: Array  # (T + 1, H, B)
    gates: Array  # (T, 4H, B), activated
    squashed: Array  # (T, H, B), tanh(c)


@dataclass(slots=True)
class Tape:
    layers: list[LayerTape]
    live: npt.NDArray[np.bool_] | None  # (T, 1, B), false where padded


def _activate(z: Array, hidden: int) -> None:
    """Gates in place (4H, B). One tanh serves all: sigmoid(z) = tanh(z / 2) / 2 + 1 / 2."""
    sigmoids = z[: 3 * hidden]
    sigmoids *= 0.5
    np.tanh(z, out=z)
    sigmoids *= 0.5
    sigmoids += 0.5


def _layer_forward(x: Array, weight: Array, bias: Array, state: LayerState) -> LayerTape:
    (steps, width, batch), hidden = x.shape, bias.size // 4
    recurrent = np.ascontiguousarray(weight[:, width:])
    gates = weight[:, :width] @ x  # (T, 4H, B)
    gates += bias[:, None]
    i, f, o, g = _blocks(gates, hidden)
    h, c = (np.empty((steps + 1, hidden, batch), x.dtype) for _ in range(2))
    squashed = np.empty((steps, hidden, batch), x.dtype)
    h[0], c[0] = state
    for t in range(steps):
        z, cell, squash = gates[t], c[t + 1], squashed[t]
        z += recurrent @ h[t]
        _activate(z, hidden)
        np.multiply(f[t], c[t], out=cell)
        cell += i[t] * g[t]
        np.tanh(cell, out=squash)
        np.multiply(o[t], squash, out=h[t + 1])
    return LayerTape(x, h, c, gates, squashed)


def _layer_backward(
    d_hidden: Array, tape: LayerTape, weight: Array, d_state: LayerState
) -> tuple[Array, Array, Array, LayerState]:
    """From the gradient of all hidden states (T, H, B): those of x, weight, bias and the first state."""
    (steps, width, _), hidden = tape.x.shape, d_hidden.shape[1]
    recurrent = np.ascontiguousarray(weight[:, width:].T)  # (H, 4H)
    forget = _blocks(tape.gates, hidden)[1]
    # Local slopes know nothing of the gradient, so they are taken for all steps at once, outside the loop.
    dz, through_cell = _slopes(tape, hidden)
    dz_i, dz_f, dz_o, dz_g = _blocks(dz, hidden)
    dh, dc = d_state
    for t in reversed(range(steps)):
        dh = dh + d_hidden[t]
        dc = dc + dh * through_cell[t]
        np.multiply(dz_o[t], dh, out=dz_o[t])
        for slopes in (dz_i, dz_f, dz_g):
            np.multiply(slopes[t], dc, out=slopes[t])
        dc = dc * forget[t]
        dh = recurrent @ dz[t]
    flat = _flat(dz)
    d_weight = np.concatenate([flat @ _flat(tape.x).T, flat @ _flat(tape.h[:-1]).T], axis=1)
    dx = weight[:, :width].T @ dz  # (T, D, B)
    return dx, d_weight, flat.sum(axis=1), (dh, dc)


def _alone(x: Array, weight: Array, bias: Array) -> Array:
    """Hidden states (T, H) of one sequence x (T, D), from zeros and without a tape: vectors instead of matrices,
    and the halving before the sigmoids done once, in the weights."""
    hidden, width = bias.size // 4, x.shape[1]
    sigmoids = slice(0, 3 * hidden)
    gates = x @ weight[:, :width].T + bias
    gates[:, sigmoids] *= 0.5
    recurrent = weight[:, width:].copy()
    recurrent[sigmoids] *= 0.5
    states = np.empty((len(x), hidden), x.dtype)
    h = c = np.zeros(hidden, x.dtype)
    for before, state in zip(gates, states, strict=True):
        z = np.add(before, recurrent @ h, out=before)
        np.tanh(z, out=z)
        activated = z[sigmoids]
        activated *= 0.5
        activated += 0.5
        c = activated[hidden : 2 * hidden] * c
        c += activated[:hidden] * z[3 * hidden :]
        h = np.multiply(activated[2 * hidden :], np.tanh(c), out=state)
    return states


def _slopes(tape: LayerTape, hidden: int) -> tuple[Array, Array]:
    """Derivative of c' by the pre-activations i, f, g and of h' by o (T, 4H, B); of h' by c' (T, H, B)."""
    i, f, o, g = _blocks(tape.gates, hidden)
    slopes = np.empty_like(tape.gates)
    of_i, of_f, of_o, of_g = _blocks(slopes, hidden)
    np.multiply(g, i * (1 - i), out=of_i)
    np.multiply(tape.c[:-1], f * (1 - f), out=of_f)
    np.multiply(tape.squashed, o * (1 - o), out=of_o)
    np.multiply(i, 1 - g * g, out=of_g)
    return slopes, o * (1 - tape.squashed * tape.squashed)


def _blocks(gates: Array, hidden: int) -> tuple[Array, Array, Array, Array]:
    """Views of the gates i, f, o, g (T, H, B) of (T, 4H, B)."""
    return (
        gates[:, :hidden],
        gates[:, hidden : 2 * hidden],
        gates[:, 2 * hidden : 3 * hidden],
        gates[:, 3 * hidden :],
    )


def _flat(steps: Array) -> Array:
    """(T, M, B) as (M, T B), so that one product sums over steps and sequences."""
    return steps.transpose(1, 0, 2).reshape(steps.shape[1], -1)


class Network:
    """Stacked LSTM layers with a linear head on every step. Computes in the dtype of its parameters."""

    def __init__(self, shape: Shape, params: Mapping[str, Array]) -> None:
        """Raises ValueError when a parameter is missing, unknown, of another shape or of another dtype."""
        expected = shape.parameters()
        if set(params) != set(expected):
            raise ValueError(f"expected the parameters {sorted(expected)}, got {sorted(params)}")
        for name, size in expected.items():
            if params[name].shape != size:
                raise ValueError(f"{name}: expected the shape {size}, got {params[name].shape}")
        if len({params[name].dtype for name in expected}) != 1:
            raise ValueError("expected one dtype for all parameters")
        self.shape = shape
        self.params: Params = {name: params[name] for name in expected}

    @classmethod
    def initial(cls, shape: Shape, rng: np.random.Generator, dtype: npt.DTypeLike = np.float32) -> Network:
        """Random layers; the head starts at zero, so an untrained network puts out exactly 0."""
        params: Params = {name: np.zeros(size, dtype) for name, size in shape.parameters().items()}
        for layer in range(shape.layers):
            weight = params[f"layer{layer}.weight"]
            weight[...] = rng.normal(scale=weight.shape[1] ** -0.5, size=weight.shape)
            params[f"layer{layer}.bias"][shape.hidden : 2 * shape.hidden] = FORGET_BIAS
        return cls(shape, params)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.params["head.bias"].dtype

    def start(self, batch: int) -> list[LayerState]:
        """The state before the first step of B sequences: zeros."""
        zeros = np.zeros((self.shape.hidden, batch), self.dtype)
        return [(zeros, zeros) for _ in range(self.shape.layers)]

    def forward(
        self, x: Array, lengths: Indices | None = None, state: State | None = None
    ) -> tuple[Array, Tape]:
        """Outputs of all steps (T, B, outputs) for x (T, B, inputs), and the tape for `backward`.

        `lengths` (B,) says how many steps of each sequence are real; outputs beyond are meaningless.
        """
        below: Array = np.ascontiguousarray(x.transpose(0, 2, 1), self.dtype)  # (T, D, B)
        live = None
        if lengths is not None:
            live = (np.arange(len(x))[:, None] < lengths)[:, None, :]
            below = np.where(live, below, 0)
        tapes = []
        for layer, begin in enumerate(self.start(x.shape[1]) if state is None else state):
            tapes.append(_layer_forward(below, *self._layer(layer), begin))
            below = tapes[-1].h[1:]
        return self._head(below).transpose(0, 2, 1), Tape(tapes, live)

    def backward(
        self, d_outputs: Array, tape: Tape, d_state: State | None = None
    ) -> tuple[Params, Array, list[LayerState]]:
        """Gradients of all parameters, of x (T, B, inputs) and of the state before the first step.

        `d_outputs` (T, B, outputs) is taken as zero where padded; `d_state` is the gradient of the state
        after the last step, for sequences without padding.
        """
        d_head = d_outputs.transpose(0, 2, 1)
        if tape.live is not None:
            if d_state is not None:
                raise ValueError("d_state: expected none for padded sequences")
            d_head = np.where(tape.live, d_head, 0)
        flat = _flat(d_head)
        grads = {"head.weight": flat @ _flat(tape.layers[-1].h[1:]).T, "head.bias": flat.sum(axis=1)}
        below: Array = self.params["head.weight"].T @ d_head
        d_begin = list(self.start(d_outputs.shape[1]) if d_state is None else d_state)
        for layer in reversed(range(self.shape.layers)):
            weight = self.params[f"layer{layer}.weight"]
            below, d_weight, d_bias, d_begin[layer] = _layer_backward(
                below, tape.layers[layer], weight, d_begin[layer]
            )
            grads[f"layer{layer}.weight"], grads[f"layer{layer}.bias"] = d_weight, d_bias
        return grads, below.transpose(0, 2, 1), d_begin

    def last(self, x: Array) -> Array:
        """Outputs (outputs,) of the last step of one sequence x (T, inputs), as `forward` would give them."""
        below: Array = x.astype(self.dtype, copy=False)
        for layer in range(self.shape.layers):
            below = _alone(below, *self._layer(layer))
        outputs: Array = self.params["head.weight"] @ below[-1] + self.params["head.bias"]
        return outputs

    def step(self, x: Array, state: State) -> tuple[Array, list[LayerState]]:
        """One step for x (B, inputs): outputs (B, outputs) and the next state. Keeps no tape."""
        below, after = x.T.astype(self.dtype, copy=False), []
        for layer, (h, c) in enumerate(state):
            weight, bias = self._layer(layer)
            z = weight @ np.concatenate([below, h]) + bias[:, None]
            _activate(z, self.shape.hidden)
            i, f, o, g = np.split(z, 4)
            cell = f * c + i * g
            below = o * np.tanh(cell)
            after.append((below, cell))
        return self._head(below).T, after

    def _layer(self, layer: int) -> tuple[Array, Array]:
        return self.params[f"layer{layer}.weight"], self.params[f"layer{layer}.bias"]

    def _head(self, hidden: Array) -> Array:
        outputs: Array = self.params["head.weight"] @ hidden + self.params["head.bias"][:, None]
        return outputs


def end_state(tape: Tape) -> list[LayerState]:
    """The state after the last step of sequences without padding, to go on from there."""
    return [(layer.h[-1], layer.c[-1]) for layer in tape.layers]


def at_last_step(outputs: Array, lengths: Indices) -> Array:
    """The outputs (B, outputs) of the last real step of each sequence."""
    picked: Array = outputs[lengths - 1, np.arange(len(lengths))]
    return picked
