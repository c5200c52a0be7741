from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from predictor.features import ASK_FEATURES, KINDS, RUN_FEATURES, Batch
from predictor.lstm import Array
from predictor.model import EMBEDDING, QUANTILES, SHARES, Model
from predictor.optim import pinball
from predictor.traits import BUCKETS, WORDS
from tests.predictor.builders import model

LENGTHS = np.array([4, 1, 3, 2, 1])
HIDDEN = 4
NAMES = list(Model.initial(np.random.default_rng(0), HIDDEN).params)


def a_batch(rng: np.random.Generator, dtype: type[np.floating] = np.float64) -> Batch:
    """Five asks with 0 to 3 earlier runs and 0 to WORDS words, of which some come more than once."""
    words = rng.integers(0, BUCKETS, (len(LENGTHS), len(KINDS) + WORDS), np.int32)
    for row, count in enumerate((WORDS, 0, 1, 3, 2)):
        words[row, len(KINDS) + count :] = -1
    words[3, len(KINDS) + 1] = words[3, len(KINDS)]
    words[4, 0] = words[0, 0]
    runs = rng.normal(size=(int(LENGTHS.max()), len(LENGTHS), len(RUN_FEATURES))).astype(dtype)
    runs[np.arange(len(runs))[:, None] >= LENGTHS - 1] = 0
    numbers = rng.normal(size=(len(LENGTHS), len(ASK_FEATURES))).astype(dtype)
    return Batch(numbers, words, runs, LENGTHS)


def alone(read: Batch, row: int) -> Batch:
    length = read.lengths[row]
    at = slice(row, row + 1)
    return Batch(read.ask[at], read.words[at], read.runs[:length, at], read.lengths[at])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def net() -> Model:
    return model(seed=3, head=0.5, hidden=HIDDEN, dtype=np.float64)


@pytest.fixture
def read(rng: np.random.Generator) -> Batch:
    return a_batch(rng)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_of_each_parameter_is_the_numeric_one(
    net: Model, read: Batch, rng: np.random.Generator, name: str
) -> None:
    targets, censored = rng.normal(size=len(read)), np.array([False, True, False, False, True])

    def loss() -> float:
        return pinball(net.forward(read)[0], targets, QUANTILES, censored=censored, shares=SHARES)[0]

    outputs, tape = net.forward(read)
    d_outputs = pinball(outputs, targets, QUANTILES, censored=censored, shares=SHARES)[1]
    gradient, value, step = net.backward(d_outputs, tape)[name], net.params[name], 1e-6
    assert np.abs(gradient).max() > 1e-6
    numeric = np.zeros_like(value)
    for place in touched(name, value, read):
        kept = value[place]
        value[place] = kept + step
        above = loss()
        value[place] = kept - step
        numeric[place] = (above - loss()) / (2 * step)
        value[place] = kept
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-8)


def touched(name: str, value: Array, read: Batch) -> list[tuple[int, ...]]:
    """Every place of a parameter; of the embeddings the rows that were looked up, the others having no part."""
    if name != "embedding":
        return list(np.ndindex(value.shape))
    rows = {*read.words[read.words >= 0].tolist(), 0, BUCKETS - 1}
    return [(row, column) for row in rows for column in range(EMBEDDING)]


def test_an_untrained_network_adds_exactly_nothing(rng: np.random.Generator) -> None:
    fresh = Model.initial(rng)
    outputs, _ = fresh.forward(a_batch(rng, np.float32))
    assert (outputs.shape, outputs.dtype) == ((len(LENGTHS), len(QUANTILES)), np.float32)
    assert not outputs.any()


def test_padding_changes_neither_outputs_nor_gradients(net: Model, read: Batch) -> None:
    outputs, tape = net.forward(read)
    grads = net.backward(np.ones_like(outputs), tape)
    total = {name: np.zeros_like(value) for name, value in net.params.items()}
    for row in range(len(read)):
        own, own_tape = net.forward(alone(read, row))
        np.testing.assert_allclose(own[0], outputs[row], rtol=1e-12)
        for name, grad in net.backward(np.ones_like(own), own_tape).items():
            total[name] += grad
    for name, grad in grads.items():
        np.testing.assert_allclose(grad, total[name], rtol=1e-10, atol=1e-12)


def test_longer_padding_changes_nothing(net: Model, read: Batch) -> None:
    padded = replace(read, runs=np.concatenate([read.runs, np.full_like(read.runs[:3], 1e3)]))
    np.testing.assert_allclose(net.forward(padded)[0], net.forward(read)[0], rtol=1e-12)


def test_words_that_are_not_there_take_no_part(net: Model, read: Batch) -> None:
    """They are numbered -1, which as a row of the table would be its last one."""
    before = net.forward(read)[0]
    assert BUCKETS - 1 not in read.words
    net.params["embedding"][BUCKETS - 1] = 1e3
    np.testing.assert_array_equal(net.forward(read)[0], before)
    outputs, tape = net.forward(read)
    gradient = net.backward(np.ones_like(outputs), tape)["embedding"]
    looked_up = np.zeros(BUCKETS, bool)
    looked_up[read.words[read.words >= 0]] = True
    assert not gradient[~looked_up].any()
    assert gradient[looked_up].any(axis=1).all()


def test_words_of_a_job_count_as_their_mean(net: Model, read: Batch) -> None:
    twice = read.words.copy()
    twice[2, len(KINDS) : len(KINDS) + 3] = twice[2, len(KINDS)]
    assert (twice != read.words).any()
    np.testing.assert_allclose(net.forward(replace(read, words=twice))[0], net.forward(read)[0], rtol=1e-12)
    swapped = read.words.copy()
    swapped[0, len(KINDS) :] = swapped[0, len(KINDS) :][::-1]
    np.testing.assert_allclose(net.forward(replace(read, words=swapped))[0], net.forward(read)[0], rtol=1e-12)


def test_kinds_are_told_apart_by_their_place(net: Model, read: Batch) -> None:
    swapped = read.words.copy()
    swapped[:, [0, 1]] = swapped[:, [1, 0]]
    assert not np.allclose(net.forward(replace(read, words=swapped))[0], net.forward(read)[0])


def test_every_earlier_run_is_read(net: Model, read: Batch) -> None:
    before = net.forward(read)[0]
    for step in range(3):
        runs = read.runs.copy()
        runs[step, 0] += 1
        changed = net.forward(replace(read, runs=runs))[0]
        assert (changed[0] != before[0]).all()
        np.testing.assert_array_equal(changed[1:], before[1:])


def test_same_seed_gives_the_same_network() -> None:
    first, second = (Model.initial(np.random.default_rng(3)) for _ in range(2))
    for name, value in first.params.items():
        np.testing.assert_array_equal(value, second.params[name])


def test_a_copy_shares_nothing(net: Model) -> None:
    copied = net.copy()
    for name, value in net.params.items():
        np.testing.assert_array_equal(copied.params[name], value)
        assert not np.shares_memory(copied.params[name], value)


def test_parameters_are_the_ones_it_computes_with(net: Model, read: Batch) -> None:
    before = net.forward(read)[0]
    net.params["head.bias"] += 1
    np.testing.assert_allclose(net.forward(read)[0], before + 1)


def test_parameters_that_do_not_fit_are_refused() -> None:
    params = model(hidden=HIDDEN).params
    without = {name: value for name, value in params.items() if name != "head.dense"}
    with pytest.raises(ValueError, match=r"expected a parameter head\.dense"):
        Model(HIDDEN, without)
    with pytest.raises(ValueError, match=r"head\.dense: expected the shape"):
        Model(HIDDEN, {**without, "head.dense": np.zeros((2, 2), np.float32)})
    with pytest.raises(ValueError, match="one dtype"):
        Model(HIDDEN, {**params, "embedding": params["embedding"].astype(np.float64)})
    with pytest.raises(ValueError, match="expected the parameters"):
        Model(HIDDEN, {**params, "stranger": np.zeros(1, np.float32)})
    with pytest.raises(ValueError, match="expected the shape"):
        Model(HIDDEN + 1, params)
