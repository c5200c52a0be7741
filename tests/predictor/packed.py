"""Weights of a network as they are stored, for tests that only put versions in force."""

from __future__ import annotations

import numpy as np

from predictor import store
from predictor.model import Model


def weights(seed: int = 0) -> bytes:
    return store.pack(Model.initial(np.random.default_rng(seed), hidden=4), {})
