"""The real data sets that ship inside scikit-learn, as plain columns; nothing is downloaded.

Column names are made into SQL identifiers ("sepal length (cm)" becomes sepal_length_cm). The column to
predict is called target and holds class names where the data set has them; linnerud, which has three
such columns, keeps their own names: weight, waist, pulse.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets

Columns = dict[str, NDArray[Any]]

LOADERS: dict[str, Callable[[], Any]] = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
    "digits": datasets.load_digits,
    "linnerud": datasets.load_linnerud,
}


def load(name: str) -> Columns:
    """The columns of a data set by name, in order; arrays of one length, of numbers or of text."""
    found = LOADERS[name]()
    columns = {_identifier(feature): found.data[:, at] for at, feature in enumerate(found.feature_names)}
    return {**columns, **_targets(found)}


def _targets(found: Any) -> Columns:
    if found.target.ndim == 2:
        return {_identifier(name): found.target[:, at] for at, name in enumerate(found.target_names)}
    names = found.get("target_names")
    if names is None or not np.issubdtype(names.dtype, np.str_):
        return {"target": found.target}
    return {"target": names[found.target].astype(object)}


def _identifier(name: str) -> str:
    return re.sub(r"\W+", "_", name.lower()).strip("_")
