from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from predictor.lstm import Array, Indices, Network, Params, Shape, at_last_step, end_state
from predictor.optim import pinball

SHAPE = Shape(inputs=3, hidden=4, outputs=2)
LENGTHS = np.array([5, 2, 1, 4])
QUANTILES = (0.5, 0.9)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def net(rng: np.random.Generator) -> Network:
    made = Network.initial(SHAPE, rng, np.float64)
    made.params["head.weight"][...] = rng.normal(size=(2, 4))
    return made


@pytest.fixture
def x(rng: np.random.Generator) -> Array:
    return rng.normal(size=(5, 4, 3))  # (T, B, inputs)


def gradients(net: Network, x: Array, lengths: Indices, targets: Array) -> Params:
    """Of the quantile loss at the last real steps."""
    outputs, tape = net.forward(x, lengths)
    d_last = pinball(at_last_step(outputs, lengths), targets, QUANTILES)[1]
    d_outputs = np.zeros_like(outputs)
    d_outputs[lengths - 1, np.arange(len(lengths))] = d_last
    return net.backward(d_outputs, tape)[0]


def numeric_gradient(value: Callable[[], float], at: Array, step: float = 1e-6) -> Array:
    gradient = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        kept = at[place]
        at[place] = kept + step
        above = value()
        at[place] = kept - step
        gradient[place] = (above - value()) / (2 * step)
        at[place] = kept
    return gradient


@pytest.mark.parametrize("name", SHAPE.parameters())
@pytest.mark.parametrize("lengths", [LENGTHS, np.full(4, 5)], ids=["padded", "full"])
def test_gradient_of_each_parameter_is_the_numeric_one(
    net: Network, x: Array, rng: np.random.Generator, name: str, lengths: Indices
) -> None:
    targets = rng.normal(size=4)

    def loss() -> float:
        outputs, _ = net.forward(x, lengths)
        return pinball(at_last_step(outputs, lengths), targets, QUANTILES)[0]

    grads = gradients(net, x, lengths, targets)
    assert np.abs(grads[name]).max() > 1e-6
    np.testing.assert_allclose(grads[name], numeric_gradient(loss, net.params[name]), rtol=1e-5, atol=1e-8)


def test_gradient_of_inputs_and_first_state_is_the_numeric_one(
    net: Network, x: Array, rng: np.random.Generator
) -> None:
    weights = rng.normal(size=(5, 4, 2))
    state = [tuple(rng.normal(size=(4, 4)) for _ in range(2)) for _ in range(2)]

    def weighted() -> float:
        return float((net.forward(x, state=state)[0] * weights).sum())

    _, tape = net.forward(x, state=state)
    _, dx, d_state = net.backward(weights, tape)
    np.testing.assert_allclose(dx, numeric_gradient(weighted, x), rtol=1e-5, atol=1e-8)
    for layer in range(2):
        for part in range(2):
            numeric = numeric_gradient(weighted, state[layer][part])
            np.testing.assert_allclose(d_state[layer][part], numeric, rtol=1e-5, atol=1e-8)


def test_step_by_step_gives_the_outputs_and_state_of_the_whole_sequence(net: Network, x: Array) -> None:
    whole, tape = net.forward(x)
    state = net.start(batch=4)
    for step, expected in zip(x, whole, strict=True):
        outputs, state = net.step(step, state)
        np.testing.assert_allclose(outputs, expected, rtol=1e-12, atol=1e-14)
    for (h, c), (end_h, end_c) in zip(state, end_state(tape), strict=True):
        np.testing.assert_allclose(h, end_h, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(c, end_c, rtol=1e-12, atol=1e-14)


def test_step_by_step_backward_gives_the_gradients_of_the_whole_sequence(
    net: Network, x: Array, rng: np.random.Generator
) -> None:
    d_outputs = rng.normal(size=(5, 4, 2))
    expected, expected_dx, expected_begin = net.backward(d_outputs, net.forward(x)[1])

    tapes, state = [], net.start(batch=4)
    for step in x:
        _, tape = net.forward(step[None], state=state)
        state = end_state(tape)
        tapes.append(tape)
    total = {name: np.zeros_like(value) for name, value in net.params.items()}
    d_state = net.start(batch=4)
    for t in reversed(range(5)):
        grads, dx, d_state = net.backward(d_outputs[t : t + 1], tapes[t], d_state)
        np.testing.assert_allclose(dx[0], expected_dx[t], rtol=1e-10, atol=1e-12)
        for name, grad in grads.items():
            total[name] += grad
    for name, grad in expected.items():
        np.testing.assert_allclose(total[name], grad, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(d_state, expected_begin, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("filling", [0.0, 1e6, np.nan])
def test_padding_changes_neither_outputs_nor_gradients(net: Network, x: Array, filling: float) -> None:
    padded = x.copy()
    for column, length in enumerate(LENGTHS):
        padded[length:, column] = filling
    targets = np.zeros(4)
    last = at_last_step(net.forward(padded, LENGTHS)[0], LENGTHS)
    grads = gradients(net, padded, LENGTHS, targets)
    total = {name: np.zeros_like(value) for name, value in net.params.items()}
    for column, length in enumerate(LENGTHS):
        alone, one = x[:length, column : column + 1], np.array([length])
        np.testing.assert_allclose(last[column], net.forward(alone)[0][-1, 0], rtol=1e-12)
        for name, grad in gradients(net, alone, one, targets[:1]).items():
            total[name] += grad / len(LENGTHS)
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, total[name], rtol=1e-10, atol=1e-12)


def test_backward_ignores_gradients_where_padded(net: Network, x: Array) -> None:
    d_outputs = np.ones((5, 4, 2))
    masked = d_outputs * (np.arange(5)[:, None] < LENGTHS)[:, :, None]
    given, _, _ = net.backward(d_outputs, net.forward(x, LENGTHS)[1])
    expected, _, _ = net.backward(masked, net.forward(x, LENGTHS)[1])
    for name, grad in expected.items():
        np.testing.assert_array_equal(given[name], grad)


def test_final_gradient_is_refused_for_padded_sequences(net: Network, x: Array) -> None:
    outputs, tape = net.forward(x, LENGTHS)
    with pytest.raises(ValueError, match="d_state"):
        net.backward(outputs, tape, net.start(4))


def test_untrained_network_puts_out_zero_and_forgets_little(rng: np.random.Generator, x: Array) -> None:
    fresh = Network.initial(SHAPE, rng)
    outputs, _ = fresh.forward(x.astype(np.float32))
    assert outputs.dtype == np.float32
    assert not outputs.any()
    assert (fresh.params["layer1.bias"][4:8] == 1).all()


def test_same_seed_gives_the_same_network() -> None:
    first, second = (Network.initial(SHAPE, np.random.default_rng(3)) for _ in range(2))
    for name, value in first.params.items():
        np.testing.assert_array_equal(value, second.params[name])


def test_parameters_that_do_not_fit_are_refused(net: Network) -> None:
    without = {name: value for name, value in net.params.items() if name != "head.bias"}
    with pytest.raises(ValueError, match="expected the parameters"):
        Network(SHAPE, without)
    with pytest.raises(ValueError, match=r"head\.bias: expected the shape \(2,\), got \(3,\)"):
        Network(SHAPE, {**without, "head.bias": np.zeros(3)})
    with pytest.raises(ValueError, match="one dtype"):
        Network(SHAPE, {**without, "head.bias": np.zeros(2, np.float32)})
