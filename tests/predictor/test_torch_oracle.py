"""The same weights in PyTorch, where it is installed: it is no requirement of SmartQueue."""

from __future__ import annotations

import numpy as np
import pytest

from predictor.lstm import Array, Network, Shape

torch = pytest.importorskip("torch")

STEPS, BATCH, SHAPE = 9, 5, Shape(inputs=7, hidden=6, outputs=3)


def gates_as_in_torch(rows: Array) -> Array:
    """Ours stand as i, f, o, g; PyTorch's as i, f, g, o."""
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
    for layer in range(2):
        parts = ("weight_ih", "weight_hh", "bias_ih")
        theirs = [getattr(lstm, f"{part}_l{layer}").grad.numpy() for part in parts]
        weight, bias = (gates_as_in_torch(grads[f"layer{layer}.{part}"]) for part in ("weight", "bias"))
        np.testing.assert_allclose(weight, np.hstack(theirs[:2]), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(bias, theirs[2], rtol=1e-5, atol=1e-5)


def _as_torch(ours: Network) -> tuple[torch.nn.LSTM, torch.nn.Linear]:
    kind = torch.float32 if ours.dtype == np.float32 else torch.float64
    lstm = torch.nn.LSTM(SHAPE.inputs, SHAPE.hidden, num_layers=SHAPE.layers).to(kind)
    head = torch.nn.Linear(SHAPE.hidden, SHAPE.outputs).to(kind)
    values = {"weight": ours.params["head.weight"], "bias": ours.params["head.bias"]}
    head.load_state_dict({name: torch.from_numpy(value) for name, value in values.items()})
    values = {}
    for layer in range(SHAPE.layers):
        weight, bias = (gates_as_in_torch(ours.params[f"layer{layer}.{part}"]) for part in ("weight", "bias"))
        width = weight.shape[1] - SHAPE.hidden
        values |= {f"weight_ih_l{layer}": weight[:, :width], f"weight_hh_l{layer}": weight[:, width:]}
        values |= {f"bias_ih_l{layer}": bias, f"bias_hh_l{layer}": np.zeros_like(bias)}
    contiguous = {name: np.ascontiguousarray(value) for name, value in values.items()}
    lstm.load_state_dict({name: torch.from_numpy(value) for name, value in contiguous.items()})
    return lstm, head
