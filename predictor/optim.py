"""What drives the weights: the loss, the clipping of gradients and Adam.

NumPy only; works on dictionaries of arrays and knows nothing of the network they belong to.
Called by predictor.train.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from predictor.lstm import Array, Params


def pinball(
    outputs: Array,
    targets: Array,
    quantiles: Sequence[float],
    smooth: float = 0.1,
    censored: npt.NDArray[np.bool_] | None = None,
    shares: Sequence[float] | None = None,
) -> tuple[float, Array]:
    """Mean quantile loss of outputs (B, Q) against targets (B,), and its gradient by the outputs.

    Quadratic within `smooth` of zero and linear beyond, so that a single wild run pulls no more than others.
    `shares` (Q,) says how much each quantile counts. Of a target that is `censored` (B,) only "at least so
    much" is known: outputs above it are not wrong.
    """
    over = np.asarray(quantiles, outputs.dtype)
    share = np.ones_like(over) if shares is None else np.asarray(shares, outputs.dtype)
    error = targets[:, None] - outputs  # (B, Q)
    if censored is not None:
        error = np.where(censored[:, None], np.maximum(error, 0), error)
    weight = share * np.where(error >= 0, over, 1 - over) / error.size
    size = np.abs(error)
    loss = np.where(size < smooth, error * error / (2 * smooth), size - smooth / 2)
    gradient = -weight * np.clip(error / smooth, -1, 1)
    return float((weight * loss).sum()), gradient


def clip_global_norm(grads: Params, limit: float) -> float:
    """Scale all gradients in place so that their joint norm is at most `limit`; returns the norm before."""
    norm = float(np.sqrt(sum(float(np.vdot(grad, grad)) for grad in grads.values())))
    if norm > limit:
        for grad in grads.values():
            np.multiply(grad, limit / norm, out=grad)
    return norm


class Adam:
    """Adam with decoupled weight decay on matrices (not on biases). Changes the parameters in place."""

    def __init__(
        self,
        params: Params,
        *,
        rate: float = 3e-3,
        decay: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        tiny: float = 1e-8,
    ) -> None:
        self.params, self.rate, self.decay, self.betas, self.tiny = params, rate, decay, betas, tiny
        self.mean = {name: np.zeros_like(value) for name, value in params.items()}
        self.square = {name: np.zeros_like(value) for name, value in params.items()}
        self.steps = 0

    def step(self, grads: Params) -> None:
        self.steps += 1
        first, second = self.betas
        rate = self.rate * np.sqrt(1 - second**self.steps) / (1 - first**self.steps)
        for name, value in self.params.items():
            grad, mean, square = grads[name], self.mean[name], self.square[name]
            mean += (1 - first) * (grad - mean)
            square += (1 - second) * (grad * grad - square)
            keep = 1 - self.rate * self.decay if value.ndim > 1 else 1.0
            value[...] = keep * value - rate * mean / (np.sqrt(square) + self.tiny)
