"""What `make audit` makes of the reports of its tools, which have the shape of recorded ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts import audit

CANARY = dict(zip(("name", "version"), audit.CANARY, strict=True))
OURS = {"name": "django", "version": "5.2.19"}
KNOWN = [{"id": "PYSEC-1", "fix_versions": ["3.0"], "aliases": ["CVE-1"], "description": "Bad."}]
SKIPPED = {"name": "uvicorn", "skip_reason": "Dependency not found on PyPI and could not be audited: uvicorn"}


def bandit(*results: dict[str, Any], errors: Any = ()) -> dict[str, Any]:
    return {"errors": list(errors), "results": list(results), "metrics": {}}


def finding(**other: Any) -> dict[str, Any]:
    return {
        "filename": "jobs/x.py",
        "line_number": 7,
        "line_range": [7, 8, 9],
        "test_id": "B608",
        "issue_text": "Possible SQL injection.",
        **other,
    }


@pytest.mark.parametrize(
    ("dependencies", "problems", "audited"),
    [
        ([{**OURS, "vulns": []}, {**CANARY, "vulns": KNOWN}], [], True),
        (
            [{**OURS, "vulns": KNOWN}, {**CANARY, "vulns": KNOWN}],
            ["pip-audit: django 5.2.19: PYSEC-1"],
            True,
        ),
        # An index without advisories: every release is there and none is known to be bad.
        ([{**OURS, "vulns": []}, {**CANARY, "vulns": []}], [], False),
        # An index that pip-audit cannot ask.
        ([SKIPPED, {"name": "pycrypto", "skip_reason": "not found"}], [], False),
        ([], [], False),
        (
            [SKIPPED, {**CANARY, "vulns": KNOWN}],
            [f"pip-audit: uvicorn was not audited: {SKIPPED['skip_reason']}"],
            True,
        ),
        # What is known of ours counts, whatever the canary says.
        ([{**OURS, "vulns": KNOWN}, {**CANARY, "vulns": []}], ["pip-audit: django 5.2.19: PYSEC-1"], False),
    ],
)
def test_dependencies(dependencies: list[Any], problems: list[str], audited: bool) -> None:
    assert audit.judge({"dependencies": dependencies, "fixes": []}) == (problems, audited)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("f'SELECT {x}'", 1),
        ("f'SELECT {x}'  # noqa: S608 - a constant", 0),
        ("f'SELECT {x}'  # noqa: E501, S608", 0),
        ("f'SELECT {x}'  # noqa: S6081", 1),
        ("f'SELECT {x}'  # noqa: S603", 1),
        ("f'SELECT {x}'  # S608", 1),
    ],
)
def test_code(code: str, told: int) -> None:
    found = audit.unexplained(bandit(finding()), lambda file, first, last: code)
    assert found == ["jobs/x.py:7: B608 Possible SQL injection."] * told


def test_a_file_that_bandit_could_not_read_is_told() -> None:
    report = bandit(errors=[{"filename": "jobs/x.py", "reason": "syntax error while parsing"}])
    assert audit.unexplained(report, lambda *_: "") == ["bandit: jobs/x.py: syntax error while parsing"]


@pytest.mark.parametrize(
    ("audited", "offline", "code"), [(True, "", 0), (False, "", audit.NOT_AUDITED), (False, "1", 0)]
)
def test_a_run_that_audited_nothing_says_so(
    audited: bool,
    offline: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = {"dependencies": [{**CANARY, "vulns": KNOWN if audited else []}]}
    monkeypatch.setattr(audit, "_bandit", lambda tools: bandit())
    monkeypatch.setattr(audit, "_pip_audit", lambda tools, pinned: report)
    monkeypatch.setattr(audit, "_installed", lambda python: "")
    monkeypatch.setenv("SMARTQUEUE_AUDIT_OFFLINE", offline)
    assert audit.main(Path(), Path()) == code
    assert ("NOT AUDITED" in capsys.readouterr().out) == (not audited)


def test_a_finding_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    report = {"dependencies": [{**OURS, "vulns": KNOWN}, {**CANARY, "vulns": KNOWN}]}
    monkeypatch.setattr(audit, "_bandit", lambda tools: bandit())
    monkeypatch.setattr(audit, "_pip_audit", lambda tools, pinned: report)
    monkeypatch.setattr(audit, "_installed", lambda python: "")
    monkeypatch.setenv("SMARTQUEUE_AUDIT_OFFLINE", "1")
    assert audit.main(Path(), Path()) == audit.FINDING


def test_an_index_that_cannot_be_asked_audits_nothing_and_hides_no_finding_in_the_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    silent = [Path("/bin/sh"), "-c", "echo one line >&2; echo no such index >&2; exit 2"]
    monkeypatch.setattr(audit, "_bandit", lambda tools: bandit())
    monkeypatch.setattr(audit, "_pip_audit", lambda tools, pinned: audit._report(silent))
    monkeypatch.setattr(audit, "_installed", lambda python: "")
    monkeypatch.delenv("SMARTQUEUE_AUDIT_OFFLINE", raising=False)
    assert audit.main(Path(), Path()) == audit.NOT_AUDITED
    told = capsys.readouterr().out
    assert "NOT AUDITED: sh failed: no such index." in told
    assert "bandit: 0 findings" in told
