from __future__ import annotations

import numpy as np
import pytest

from predictor.lstm import Array
from predictor.optim import Adam, clip_global_norm, pinball


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_pinball_is_least_at_its_quantile(quantile: float) -> None:
    targets = np.random.default_rng(0).normal(size=20_001)
    guesses = np.linspace(-2, 2, 401)
    losses = [
        pinball(np.full((targets.size, 1), guess), targets, [quantile], smooth=0.01)[0] for guess in guesses
    ]
    assert guesses[np.argmin(losses)] == pytest.approx(np.quantile(targets, quantile), abs=0.02)


def test_pinball_gradient_is_the_numeric_one() -> None:
    rng = np.random.default_rng(1)
    outputs, targets = rng.normal(size=(6, 3)), rng.normal(size=6)
    _, gradient = pinball(outputs, targets, (0.1, 0.5, 0.9))
    for place in np.ndindex(outputs.shape):
        nudge = np.zeros_like(outputs)
        nudge[place] = 1e-6
        above, below = (pinball(outputs + sign * nudge, targets, (0.1, 0.5, 0.9))[0] for sign in (1, -1))
        assert gradient[place] == pytest.approx((above - below) / 2e-6, abs=1e-7)


def test_one_wild_target_pulls_no_more_than_another() -> None:
    _, gradient = pinball(np.zeros((2, 1)), np.array([1.0, 1e9]), [0.5])
    assert gradient[0] == gradient[1]


def test_clipping_keeps_the_direction_and_leaves_small_gradients_alone() -> None:
    grads = {"a": np.array([3.0, 0.0]), "b": np.array([[4.0]])}
    assert clip_global_norm(grads, 1.0) == 5.0
    np.testing.assert_allclose(grads["a"], [0.6, 0.0])
    np.testing.assert_allclose(grads["b"], [[0.8]])
    assert clip_global_norm(grads, 2.0) == pytest.approx(1.0)
    np.testing.assert_allclose(grads["a"], [0.6, 0.0])


def test_adam_finds_the_bottom_of_a_bowl_in_place() -> None:
    params = {"w": np.array([[5.0, -3.0]]), "b": np.array([100.0])}
    kept = params["w"]
    adam = Adam(params, rate=0.1, decay=0.0)
    for _ in range(6000):
        adam.step({"w": 2 * (params["w"] - [[1.0, 2.0]]), "b": 0.02 * (params["b"] - 4.0)})
    assert params["w"] is kept
    np.testing.assert_allclose(kept, [[1.0, 2.0]], atol=1e-3)
    np.testing.assert_allclose(params["b"], [4.0], atol=1e-3)


def test_first_step_of_adam_has_the_size_of_the_rate() -> None:
    params = {"w": np.array([[1.0, 1.0]])}
    Adam(params, rate=0.01, decay=0.0).step({"w": np.array([[1e-3, -50.0]])})
    np.testing.assert_allclose(params["w"], [[0.99, 1.01]], rtol=1e-4)


def test_decay_shrinks_matrices_and_leaves_biases() -> None:
    params = {"w": np.ones((2, 2)), "b": np.ones(2)}
    Adam(params, rate=0.1, decay=0.5).step({name: np.zeros_like(value) for name, value in params.items()})
    np.testing.assert_allclose(params["w"], 0.95)
    np.testing.assert_allclose(params["b"], 1.0)


def test_gradient_of_censored_and_weighted_targets_is_the_numeric_one() -> None:
    rng = np.random.default_rng(2)
    outputs, targets, censored = rng.normal(size=(6, 3)), rng.normal(size=6), np.arange(6) % 2 == 0

    def loss(at: Array) -> float:
        return pinball(at, targets, (0.1, 0.5, 0.9), censored=censored, shares=(1.0, 3.0, 1.0))[0]

    gradient = pinball(outputs, targets, (0.1, 0.5, 0.9), censored=censored, shares=(1.0, 3.0, 1.0))[1]
    for place in np.ndindex(outputs.shape):
        nudge = np.zeros_like(outputs)
        nudge[place] = 1e-6
        assert gradient[place] == pytest.approx(
            (loss(outputs + nudge) - loss(outputs - nudge)) / 2e-6, abs=1e-7
        )


def test_a_censored_target_is_a_lower_bound() -> None:
    outputs, targets = np.array([[-1.0], [1.0]]), np.zeros(2)
    _, gradient = pinball(outputs, targets, [0.5], censored=np.array([True, True]))
    assert gradient[0] < 0
    assert gradient[1] == 0
    below = pinball(outputs[:1], targets[:1], [0.5], censored=np.array([True]))
    assert below[0] == pinball(outputs[:1], targets[:1], [0.5])[0]
    assert pinball(outputs[1:], targets[1:], [0.5], censored=np.array([True]))[0] == 0


def test_shares_say_how_much_each_quantile_counts() -> None:
    outputs, targets = np.array([[1.0, -1.0]]), np.zeros(1)
    plain, plain_gradient = pinball(outputs, targets, (0.5, 0.5))
    once, gradient = pinball(outputs, targets, (0.5, 0.5), shares=(1.0, 3.0))
    assert once == pytest.approx(2 * plain)
    np.testing.assert_allclose(gradient, plain_gradient * [1.0, 3.0])
