"""`ml` jobs: train a scikit-learn estimator on one part of the rows, score it on the rest.

Columns of numbers are scaled and their gaps filled with the median, columns of text one-hot encoded. The
split and the estimator are seeded: the same job gives the same scores.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder

from jobs.executors import datasets, estimators, tables
from jobs.executors.base import JobSpec, PermanentError, say
from jobs.executors.payload import checked
from jobs.payloads import MlPayload, Source

MAX_CATEGORIES = 50  # of one text column; the rarest share one
SHOWN_FEATURES = 200

Array = NDArray[Any]


def execute(spec: JobSpec) -> dict[str, Any]:
    """{"estimator", "task", "target", "scores", "n_train", "n_test", "features", "n_features"}.

    task is classification (scores: accuracy, f1_macro) or regression (r2, mae, rmse). features holds the
    first 200 names of columns.
    """
    payload = checked(MlPayload, spec.payload)
    estimator = estimators.make(payload.estimator, payload.params)
    regression = payload.estimator in estimators.REGRESSORS
    columns = _load(payload.source, spec.memory_mb)
    target = _target(columns, payload.target, regression)
    features = [name for name in columns if name != payload.target]
    say(f"{len(target):,} rows, {len(features):,} features")
    with _failures_in_words(payload.estimator):
        train, test = _split(target, payload.test_size, stratified=not regression)
        matrix = _matrix(columns, features)
        scores = _scores(estimator, matrix, target, train, test)
    return {
        "estimator": payload.estimator,
        "task": "regression" if regression else "classification",
        "target": payload.target,
        "scores": scores,
        "n_train": len(train),
        "n_test": len(test),
        "features": features[:SHOWN_FEATURES],
        "n_features": len(features),
    }


def _load(source: Source, memory_mb: int | None) -> dict[str, Array]:
    """The columns by name: text as objects, missing as None; numbers as float64, missing as NaN."""
    if source.dataset is not None:
        return datasets.load(source.dataset)
    with tables.open_database(memory_mb) as database:
        tables.load(database, "data", source)
        found = database.execute("SELECT * FROM data").fetchnumpy()
    return {name: _plain(name, column) for name, column in found.items()}


def _plain(name: str, column: Array) -> Array:
    missing = np.ma.getmaskarray(column)
    values = np.ma.getdata(column)
    if values.dtype.kind in "biuf":
        return np.where(missing, np.nan, values.astype(float))
    texts = values.astype(object)
    texts[missing] = None
    if values.dtype.kind == "O" and all(text is None or isinstance(text, str) for text in texts):
        return texts
    raise PermanentError(f'The column "{name}" holds neither numbers nor text; leave it out or convert it.')


def _target(columns: dict[str, Array], name: str, regression: bool) -> Array:
    if name not in columns:
        raise PermanentError(
            f'target: there is no column "{name}"; there are {", ".join(list(columns)[:50])}.'
        )
    if len(columns) == 1:
        raise PermanentError(f'There is no column to learn from besides "{name}".')
    target = columns[name]
    text = target.dtype.kind == "O"
    if regression and text:
        raise PermanentError(f'target: "{name}" holds text; a regressor needs numbers.')
    if any(value is None for value in target) if text else np.isnan(target).any():
        raise PermanentError(f'target: "{name}" has missing values; leave those rows out.')
    return target.astype(str) if text else target


def _matrix(columns: dict[str, Array], features: list[str]) -> Array:
    numbers = [columns[name].astype(float) for name in features if columns[name].dtype.kind != "O"]
    texts = [_known(columns[name]) for name in features if columns[name].dtype.kind == "O"]
    parts = [np.column_stack(numbers)] if numbers else []
    if texts:
        encoder = OneHotEncoder(max_categories=MAX_CATEGORIES, sparse_output=False)
        parts.append(encoder.fit_transform(np.column_stack(texts)))
    return np.hstack(parts)


def _known(texts: Array) -> Array:
    return np.array(["" if text is None else text for text in texts], dtype=object)


def _split(target: Array, test_size: float, *, stratified: bool) -> tuple[Array, Array]:
    """Positions of the rows to train on and to test on; each class on both sides where that is possible."""
    classes, counts = np.unique(target, return_counts=True)
    smaller_side = min(test_size, 1 - test_size) * len(target)
    stratify = target if stratified and counts.min() >= 2 and smaller_side >= len(classes) else None
    train, test = train_test_split(
        np.arange(len(target)), test_size=test_size, random_state=estimators.SEED, stratify=stratify
    )
    return train, test


def _scores(estimator: Any, matrix: Array, target: Array, train: Array, test: Array) -> dict[str, float]:
    name = type(estimator).__name__
    say(f"training {name} on {len(train):,} rows")
    started = time.perf_counter()
    model = estimators.with_preparation(estimator).fit(matrix[train], target[train])
    say(f"trained in {time.perf_counter() - started:.2f} s; scoring on {len(test):,} rows")
    predicted = model.predict(matrix[test])
    score = _regression_scores if name in estimators.REGRESSORS else _classification_scores
    measured = score(target[test], predicted)
    # Some are undefined, such as r2 over one row.
    scores = {measure: round(float(value), 6) for measure, value in measured.items() if np.isfinite(value)}
    say(", ".join(f"{measure} {value:g}" for measure, value in scores.items()))
    return scores


def _classification_scores(true: Array, predicted: Array) -> dict[str, float]:
    return {
        "accuracy": accuracy_score(true, predicted),
        "f1_macro": f1_score(true, predicted, average="macro", zero_division=0),
    }


def _regression_scores(true: Array, predicted: Array) -> dict[str, float]:
    return {
        "r2": r2_score(true, predicted),
        "mae": mean_absolute_error(true, predicted),
        "rmse": root_mean_squared_error(true, predicted),
    }


@contextmanager
def _failures_in_words(name: str) -> Iterator[None]:
    """Warnings go to the job's log; what scikit-learn refuses would be refused again."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except (TypeError, ValueError) as error:
            raise PermanentError(f"{name}: {error}") from error
        finally:
            for message in sorted({str(warning.message).strip() for warning in caught}):
                say(f"warning: {message}")
