"""The same weights in PyTorch, where it is installed: it is no requirement of SmartQueue."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.features import KINDS, Batch
from predictor.lstm import Array, Network, Shape
from predictor.model import QUANTILES, Model
from tests.predictor.builders import model
from tests.predictor.test_model import a_batch

torch = pytest.importorskip("torch")

STEPS, BATCH, SHAPE = 9, 5, Shape(inputs=7, hidden=6, outputs=3)


def gates_as_in_torch(rows: Array) -> Array:
    """Ours stand as i, f, o, g; PyTorch's as i, f, g, o. Its own inverse."""
    i, f, o, g = np.split(rows, 4)
    return np.concatenate([i, f, g, o])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_and_gradients_are_those_of_torch(dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(5)
    ours = Network.initial(SHAPE, rng, dtype)
    ours.params["head.weight"][...] = rng.normal(size=(3, 6))
    x = rng.normal(size=(STEPS, BATCH, 7)).astype(dtype)
    weights = rng.normal(size=(STEPS, BATCH, 3)).astype(dtype)

    lstm, head = _as_torch(ours)
    inputs = torch.from_numpy(x).requires_grad_()
    expected = head(lstm(inputs)[0])
    (expected * torch.from_numpy(weights)).sum().backward()

    outputs, tape = ours.forward(x)
    grads, dx, _ = ours.backward(weights, tape)
    np.testing.assert_allclose(outputs, expected.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(dx, inputs.grad.numpy(), atol=1e-5)
    np.testing.assert_allclose(grads["head.weight"], head.weight.grad.numpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(grads["head.bias"], head.bias.grad.numpy(), rtol=1e-5, atol=1e-5)
    for name, gradient in _gradients_of_layers(lstm).items():
        np.testing.assert_allclose(grads[name], gradient, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_forward_and_gradients_of_the_whole_model_are_those_of_torch(dtype: type[np.floating]) -> None:
    rng = np.random.default_rng(6)
    ours, read = model(seed=6, head=0.3, hidden=6, dtype=dtype), a_batch(rng, dtype)
    weights = rng.normal(size=(len(read), len(QUANTILES))).astype(dtype)

    theirs = TorchModel(ours)
    expected = theirs(read)
    (expected * torch.from_numpy(weights)).sum().backward()

    outputs, tape = ours.forward(read)
    grads = ours.backward(weights, tape)
    np.testing.assert_allclose(outputs, expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    gradients = theirs.gradients()
    assert set(gradients) == set(grads)
    for name, gradient in gradients.items():
        assert np.abs(gradient).max() > 1e-3
        np.testing.assert_allclose(grads[name], gradient, rtol=1e-5, atol=1e-5, err_msg=name)


class TorchModel:
    """The model in PyTorch's own parts: an embedding bag, linear layers, and an LSTM over packed sequences."""

    def __init__(self, ours: Model) -> None:
        self.params = {
            name: torch.from_numpy(value.copy()).requires_grad_()
            for name, value in ours.params.items()
            if not name.startswith("layer") and name not in ("head.weight", "head.bias")
        }
        self.lstm, self.head = _as_torch(ours.lstm)

    def __call__(self, read: Batch) -> torch.Tensor:
        p, words = self.params, torch.from_numpy(read.words.astype(np.int64))
        kinds = torch.nn.functional.embedding(words[:, : len(KINDS)], p["embedding"]).flatten(1)
        dense = torch.cat([torch.from_numpy(read.ask), kinds, self._bags(words[:, len(KINDS) :])], 1)
        encoded = torch.tanh(dense @ p["encoder.weight"] + p["encoder.bias"])
        last = self.head(self._last(read, encoded))
        return last + encoded @ p["head.encoded"] + dense @ p["head.dense"]

    def _bags(self, words: torch.Tensor) -> torch.Tensor:
        """The mean of the words of each row, those that are there being no more than its first few."""
        there = words >= 0
        starts = torch.cat([torch.zeros(1, dtype=torch.int64), there.sum(1).cumsum(0)[:-1]])
        return torch.nn.functional.embedding_bag(words[there], self.params["embedding"], starts, mode="mean")

    def _last(self, read: Batch, encoded: torch.Tensor) -> torch.Tensor:
        """The state of the upper layer after the last step of each sequence, whose last step is the ask."""
        runs, sequences = torch.from_numpy(read.runs), []
        for column, length in enumerate(read.lengths.tolist()):
            earlier = torch.nn.functional.pad(runs[: length - 1, column], (0, encoded.shape[1]))
            asked = torch.nn.functional.pad(encoded[column], (runs.shape[2], 0))
            sequences.append(torch.cat([earlier, asked[None]]))
        packed = torch.nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False)
        return self.lstm(packed)[1][0][-1]

    def gradients(self) -> dict[str, Array]:
        found = {name: value.grad.numpy() for name, value in self.params.items()}
        found |= {f"head.{part}": getattr(self.head, part).grad.numpy() for part in ("weight", "bias")}
        return {**found, **_gradients_of_layers(self.lstm)}


def _gradients_of_layers(lstm: torch.nn.LSTM) -> dict[str, Array]:
    found = {}
    for layer in range(lstm.num_layers):
        parts = ("weight_ih", "weight_hh", "bias_ih")
        inputs, hidden, bias = (getattr(lstm, f"{part}_l{layer}").grad.numpy() for part in parts)
        found[f"layer{layer}.weight"] = gates_as_in_torch(np.hstack([inputs, hidden]))
        found[f"layer{layer}.bias"] = gates_as_in_torch(bias)
    return found


def _as_torch(ours: Network) -> tuple[torch.nn.LSTM, torch.nn.Linear]:
    kind = torch.float32 if ours.dtype == np.float32 else torch.float64
    lstm = torch.nn.LSTM(ours.shape.inputs, ours.shape.hidden, num_layers=ours.shape.layers).to(kind)
    head = torch.nn.Linear(ours.shape.hidden, ours.shape.outputs).to(kind)
    values = {"weight": ours.params["head.weight"], "bias": ours.params["head.bias"]}
    head.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    values = {}
    for layer in range(ours.shape.layers):
        weight, bias = (gates_as_in_torch(ours.params[f"layer{layer}.{part}"]) for part in ("weight", "bias"))
        width = weight.shape[1] - ours.shape.hidden
        values |= {f"weight_ih_l{layer}": weight[:, :width], f"weight_hh_l{layer}": weight[:, width:]}
        values |= {f"bias_ih_l{layer}": bias, f"bias_hh_l{layer}": np.zeros_like(bias)}
    contiguous = {name: np.ascontiguousarray(value) for name, value in values.items()}
    lstm.load_state_dict({name: torch.from_numpy(value) for name, value in contiguous.items()})
    return lstm, head
