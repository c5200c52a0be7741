"""The closed list of scikit-learn estimators, and the steps around them.

The names are those of `jobs.payloads.Estimator`; a test holds the two equal.
"""

from __future__ import annotations

from typing import Any

from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from jobs.executors.base import PermanentError

SEED = 0

CLASSIFIERS: dict[str, Any] = {
    made.__name__: made
    for made in (
        DecisionTreeClassifier,
        ExtraTreesClassifier,
        GaussianNB,
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        KNeighborsClassifier,
        LogisticRegression,
        MLPClassifier,
        RandomForestClassifier,
        SVC,
    )
}
REGRESSORS: dict[str, Any] = {
    made.__name__: made
    for made in (
        DecisionTreeRegressor,
        ElasticNet,
        ExtraTreesRegressor,
        GradientBoostingRegressor,
        HistGradientBoostingRegressor,
        KNeighborsRegressor,
        Lasso,
        LinearRegression,
        MLPRegressor,
        RandomForestRegressor,
        Ridge,
        SVR,
    )
}


def make(name: str, params: dict[str, Any]) -> Any:
    """The estimator with these parameters; raises PermanentError naming the first that it does not have."""
    estimator = {**CLASSIFIERS, **REGRESSORS}[name]()
    known = estimator.get_params(deep=False)
    for param in params:
        if param not in known:
            raise PermanentError(f"params.{param}: {name} takes only {', '.join(sorted(known))}.")
    seed = {"random_state": SEED} if "random_state" in known else {}
    return estimator.set_params(**{**seed, **params})


def with_preparation(estimator: Any) -> Pipeline:
    """The estimator behind the steps that fill gaps with the median and bring all columns to one scale."""
    return make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), estimator
    )
