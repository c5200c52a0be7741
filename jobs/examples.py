"""One payload per job type that works as it stands: what the submit form starts with. Pure."""

from __future__ import annotations

from typing import Any

DESCRIPTIONS: dict[str, str] = {
    "shell": "Runs a command by /bin/sh in an empty working folder.",
    "http": "Sends one HTTP request and keeps the answer.",
    "etl": "Runs DuckDB SQL over tables: rows, a data set or a file from the web.",
    "ml": "Trains a scikit-learn model on one part of the rows and scores it on the rest.",
    "python": "Calls a registered Python function.",
}

_IRIS_SQL = (
    "SELECT target AS species, count(*) AS flowers, round(avg(petal_length_cm), 2) AS mean_petal_length "
    "FROM iris GROUP BY species ORDER BY species"
)

_PAYLOADS: dict[str, dict[str, Any]] = {
    "shell": {"command": 'for i in 1 2 3; do echo "step $i"; sleep 1; done'},
    "http": {"url": "", "method": "GET", "expect_status": 200},
    "etl": {"inputs": {"iris": {"dataset": "iris"}}, "sql": _IRIS_SQL},
    "ml": {
        "dataset": "wine",
        "target": "target",
        "estimator": "RandomForestClassifier",
        "params": {"n_estimators": 100},
        "test_size": 0.25,
    },
    "python": {"function": "add", "args": [40, 2]},
}


def payload(job_type: str, *, health_url: str) -> dict[str, Any]:
    """The example for a job type; an http job calls `health_url`, the platform's own health endpoint."""
    example = _PAYLOADS[job_type]
    return {**example, "url": health_url} if job_type == "http" else example
