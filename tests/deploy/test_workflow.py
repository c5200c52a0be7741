"""The workflow runs what .ci/run runs, on every Python that the project supports."""

from __future__ import annotations

import re
import tomllib

from tests.deploy.files import ROOT, read_yaml, text_of

WORKFLOW = read_yaml(ROOT / ".github" / "workflows" / "ci.yml")
JOB = WORKFLOW["jobs"]["test"]


def test_runs_on_push_and_on_pull_requests() -> None:
    # YAML 1.1 reads the key `on` as true.
    assert set(WORKFLOW[True]) == {"push", "pull_request"}
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_matrix_is_the_range_of_supported_pythons() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    low, high = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups())  # type: ignore[union-attr]
    assert JOB["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(low, high)]


def test_last_step_is_ci_run() -> None:
    assert JOB["steps"][-1] == {"run": "bash .ci/run"}
    assert (ROOT / ".ci" / "run").is_file()


def test_the_audit_is_a_job_of_its_own() -> None:
    """What the index says of a dependency today must not fail a run that only tests the code."""
    assert WORKFLOW["jobs"]["audit"]["steps"][-1] == {"run": "make audit"}
    assert "make audit" not in text_of(".ci/run")
