from __future__ import annotations

from typing import Any, get_args

import pytest

from jobs import payloads
from jobs.executors import datasets, estimators, jsonvalue, ml
from jobs.executors.base import PermanentError
from tests.executors.conftest import Runner, make_spec

ROWS = [
    {"x": i, "kind": "ab"[i % 2], "gap": None if i % 3 else i, "y": 2 * i + 50 * (i % 2)} for i in range(60)
]

pytestmark = pytest.mark.usefixtures("folder")


def train(**payload: Any) -> dict[str, Any]:
    return ml.execute(make_spec("ml", payload))


def refuse(**payload: Any) -> str:
    with pytest.raises(PermanentError) as raised:
        train(**payload)
    return str(raised.value)


def test_the_lists_are_those_of_the_payloads() -> None:
    assert set(get_args(payloads.Dataset)) == set(datasets.LOADERS)
    assert set(get_args(payloads.Classifier)) == set(estimators.CLASSIFIERS)
    assert set(get_args(payloads.Regressor)) == set(estimators.REGRESSORS)


@pytest.mark.parametrize("name", sorted(estimators.CLASSIFIERS))
def test_every_classifier_learns_iris(name: str) -> None:
    params = {"max_iter": 20} if name.startswith("Hist") else {}
    result = train(dataset="iris", target="target", estimator=name, params=params)
    assert (result["task"], result["n_train"], result["n_test"]) == ("classification", 112, 38)
    assert set(result["scores"]) == {"accuracy", "f1_macro"}
    assert result["scores"]["accuracy"] > 0.85
    assert result["features"] == ["sepal_length_cm", "sepal_width_cm", "petal_length_cm", "petal_width_cm"]


@pytest.mark.parametrize("name", sorted(estimators.REGRESSORS))
def test_every_regressor_learns_a_line(name: str) -> None:
    params = {"MLPRegressor": {"max_iter": 2000, "solver": "lbfgs"}, "SVR": {"C": 1000}}.get(name, {})
    params |= {"max_iter": 20} if name.startswith("Hist") else {}
    result = train(inputs={"rows": ROWS}, target="y", estimator=name, params=params)
    assert (result["task"], set(result["scores"])) == ("regression", {"r2", "mae", "rmse"})
    assert result["scores"]["r2"] > 0.5


def test_the_same_job_gives_the_same_scores() -> None:
    job = {"dataset": "wine", "target": "target", "estimator": "RandomForestClassifier", "test_size": 0.4}
    assert train(**job) == train(**job)


def test_text_columns_and_gaps_are_used() -> None:
    result = train(inputs={"t": {"rows": ROWS}}, target="y", estimator="Ridge", params={"alpha": 0.001})
    assert result["features"] == ["x", "kind", "gap"]
    assert result["scores"]["r2"] > 0.99


def test_any_column_can_be_the_target() -> None:
    result = train(dataset="linnerud", target="waist", estimator="Ridge")
    assert result["features"] == ["chins", "situps", "jumps", "weight", "pulse"]


def test_warnings_go_to_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    train(dataset="iris", target="target", estimator="MLPClassifier", params={"max_iter": 2})
    log = capsys.readouterr().out
    assert "150 rows, 4 features" in log
    assert "training MLPClassifier on 112 rows" in log
    assert "warning: Stochastic Optimizer" in log
    assert "accuracy" in log


def test_a_score_that_is_undefined_is_left_out() -> None:
    result = train(inputs={"rows": ROWS}, target="y", estimator="Ridge", test_size=0.001)
    assert result["n_test"] == 1
    assert set(result["scores"]) == {"mae", "rmse"}
    jsonvalue.check(result)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"params": {"alphha": 1}}, r"params.alphha: Ridge takes only alpha, "),
        ({"params": {"alpha": "much"}}, "The 'alpha' parameter of Ridge must be"),
        ({"params": {"alpha__x": 1}}, "params.alpha__x"),
        ({"target": "z"}, 'no column "z"; there are x, kind, gap, y'),
        ({"target": "kind"}, "holds text"),
        ({"target": "gap"}, "missing values"),
        (
            {
                "estimator": "SVC",
                "target": "x",
                "inputs": {"rows": [{"x": 0.5 + i, "a": 1} for i in range(9)]},
            },
            "class",
        ),
        ({"estimator": "SVC", "inputs": {"rows": [{"y": "a", "x": 1}] * 9}}, "class"),
        ({"inputs": {"rows": [{"y": 1}] * 9}}, "no column to learn from"),
        ({"inputs": {"rows": [{"y": 1, "d": "2024-01-01"}] * 9}}, '"d" holds neither'),
        ({"inputs": {"rows": [{"y": 1, "d": [1]}] * 9}}, '"d" holds neither'),
        ({"inputs": {"rows": [{"y": 1, "x": 2}]}}, "train set will be empty"),
    ],
)
def test_what_cannot_work_is_refused_for_good(job: dict[str, Any], words: str) -> None:
    assert words in refuse(**{"inputs": {"rows": ROWS}, "target": "y", "estimator": "Ridge", **job})


@pytest.mark.asyncio
async def test_in_a_process_of_its_own(runner: Runner) -> None:
    outcome = await runner.run(
        "ml", {"dataset": "iris", "target": "target", "estimator": "LogisticRegression"}
    )
    assert outcome.status == "done"
    assert outcome.result["scores"]["accuracy"] > 0.9
    assert "training LogisticRegression on 112 rows" in runner.text()
