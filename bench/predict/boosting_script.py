"""`boosting_script.py TOLD SAID`: fit gradient boosting to what each part of a trace knows, and forecast that part.

Run by bench.predict.boosting under a Python that has scikit-learn; imports nothing of SmartQueue.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

CATEGORIES = 200  # the commonest of the known jobs; all others count as one more
FEWEST = 200  # jobs to learn from
VARIANTS = {  # loss, and whether it learns what the base leaves
    "hgb": ("squared_error", False),
    "hgb_res": ("squared_error", True),
    "hgb_abs": ("absolute_error", True),
}


def main() -> None:
    with np.load(sys.argv[1]) as told:
        columns = {name: told[name] for name in told.files}
    said: dict[str, Any] = {name: forecast(columns, *variant) for name, variant in VARIANTS.items()}
    np.savez(sys.argv[2], **said)


def forecast(told: Mapping[str, np.ndarray], loss: str, on_base: bool) -> np.ndarray:
    """Seconds for each row (N,); NaN where there was too little to learn from."""
    base = np.log(told["base"]) if on_base else np.zeros(len(told["base"]))
    target = np.log(told["runtime"]) - base
    seconds = np.full(len(target), np.nan)
    for begin, end in pairwise(told["parts"]):
        known = np.flatnonzero(told["ended"][:begin] <= told["submit"][begin])
        if len(known) >= FEWEST:
            rows, model = features(told, known), regressor(loss, told)
            model.fit(rows[known], target[known])
            seconds[begin:end] = np.exp(model.predict(rows[begin:end]) + base[begin:end])
    return seconds


def features(told: Mapping[str, np.ndarray], known: np.ndarray) -> np.ndarray:
    """Numbers, then categories by how common they are among the known rows. A number of which nothing is known is 0."""
    numbers = np.where(np.isnan(told["numbers"][known]).all(axis=0), 0.0, told["numbers"])
    categories = [by_frequency(column, column[known]) for column in told["categories"].T]
    return np.column_stack([numbers, *categories])


def by_frequency(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    counts = np.bincount(known, minlength=values.max() + 1)
    commonest = np.argsort(-counts, kind="stable")[:CATEGORIES]
    place = np.full(len(counts), CATEGORIES)
    place[commonest] = np.arange(len(commonest))
    place[counts == 0] = CATEGORIES
    return place[values]


def regressor(loss: str, told: Mapping[str, np.ndarray]) -> HistGradientBoostingRegressor:
    is_category = [False] * told["numbers"].shape[1] + [True] * told["categories"].shape[1]
    return HistGradientBoostingRegressor(
        loss=loss,
        max_iter=150,
        learning_rate=0.08,
        max_leaf_nodes=31,
        min_samples_leaf=20,
        l2_regularization=1.0,
        categorical_features=is_category,
        early_stopping=False,
        random_state=0,
    )


if __name__ == "__main__":
    main()
