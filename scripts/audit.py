"""`make audit`: bandit over the product's code, pip-audit over what is installed. Exit code 1 for a finding, 3 when the
dependencies could not be audited.

    python scripts/audit.py TOOLS_FOLDER PYTHON

An index without advisories makes pip-audit find nothing and exit with 0. So a release with known vulnerabilities
(CANARY) is audited as well: where that is not found, nothing was audited. Where there is no better index,
SMARTQUEUE_AUDIT_OFFLINE=1 has that told and makes it no failure.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CODE = ("smartqueue", "orgs", "jobs", "predictor", "analytics", "scheduler", "manage.py")
CANARY = ("pycrypto", "2.6.1")  # has published vulnerabilities, and is installed by nobody any more
FINDING, NOT_AUDITED = 1, 3


class ToolFailed(Exception):
    """A tool ended without a report."""


def main(tools: Path, python: Path) -> int:
    found = unexplained(_bandit(tools), _lines)
    why = "the package index knows no vulnerabilities, not even published ones"
    try:
        problems, audited = judge(_pip_audit(tools, _installed(python)))
    except ToolFailed as error:
        problems, audited, why = [], False, str(error)
    for line in (*found, *problems):
        _say(line)
    _say(f"bandit: {len(found)} findings without an explanation.")
    if not audited:
        _say(f"THE DEPENDENCIES WERE NOT AUDITED: {why}.")
    elif not problems:
        _say("pip-audit: no known vulnerabilities.")
    if found or problems:
        return FINDING
    return 0 if audited or os.environ.get("SMARTQUEUE_AUDIT_OFFLINE") == "1" else NOT_AUDITED


def unexplained(report: dict[str, Any], lines: Any = None) -> list[str]:
    """Findings of bandit that the code does not explain. Ruff has the same rules under the same numbers: what is
    explained there (`noqa: S608`) is explained. `lines(file, first, last)` reads the code."""
    told = [f"bandit: {error['filename']}: {error['reason']}" for error in report["errors"]]
    for one in report["results"]:
        code = lines(one["filename"], min(one["line_range"]), max(one["line_range"]))
        if not re.search(rf"noqa:[^#]*\bS{one['test_id'][1:]}\b", code):
            told.append(f"{one['filename']}:{one['line_number']}: {one['test_id']} {one['issue_text']}")
    return told


def judge(report: dict[str, Any]) -> tuple[list[str], bool]:
    """What pip-audit's report says of our dependencies, and whether it can be believed."""
    problems, audited = list[str](), False
    for one in report["dependencies"]:
        known = ", ".join(vulnerability["id"] for vulnerability in one.get("vulns", ()))
        if (one["name"].lower(), one.get("version")) == CANARY:
            audited = bool(known)
        elif known:
            problems.append(f"pip-audit: {one['name']} {one['version']}: {known}")
    if audited:
        skipped = [one for one in report["dependencies"] if "skip_reason" in one]
        problems += [f"pip-audit: {one['name']} was not audited: {one['skip_reason']}" for one in skipped]
    return problems, audited


def _bandit(tools: Path) -> dict[str, Any]:
    command = [tools / "bandit", "-q", "-c", "pyproject.toml", "-f", "json", "-r", *CODE]
    return _report(command)


def _pip_audit(tools: Path, pinned: str) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write(f"{pinned}\n{'=='.join(CANARY)}\n")
        wanted.flush()
        options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
        return _report([tools / "pip-audit", "-r", wanted.name, *options])


def _installed(python: Path) -> str:
    """Every installed package with its version: what ours need, too."""
    command = [python, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _report(command: list[Any]) -> dict[str, Any]:
    """Both tools exit with 1 when they have found something; a tool that failed has written no report."""
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        report: dict[str, Any] = json.loads(ran.stdout)
    except ValueError:
        said = ran.stderr.strip().splitlines() or ["it said nothing"]
        raise ToolFailed(f"{Path(command[0]).name} failed: {said[-1][:500]}") from None
    return report


def _lines(file: str, first: int, last: int) -> str:
    return "\n".join((ROOT / file).read_text().splitlines()[first - 1 : last])


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    try:
        sys.exit(main(*(Path(argument).absolute() for argument in sys.argv[1:])))
    except ToolFailed as error:
        sys.exit(str(error))
