from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = {
    "drain": ["drain, share of raw SQL", "drain, two workers to one"],
    "latency": ["submit to start, p50", "submit to start, p99", "idle worker"],
    "growth": ["claim with 2,000 queued", "claim with 2,000 finished", "claim with stale", "worker memory"],
    "pressure": ["idle in transaction to clean", "4 readers to clean", "name the blocking session: 1 "],
    "blocked": ["rate behind jobs not due", "rate behind jobs of a paused organisation"],
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("parts", [["drain"], pytest.param(list(EXPECTED), marks=pytest.mark.slow)])
def test_the_parts_run_with_tiny_numbers_and_leave_nothing_behind(parts: list[str], tmp_path: Path) -> None:
    chosen = [argument for part in parts for argument in ("--only", part)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SMARTQUEUE_")}
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--tiny", "--no-peers", *chosen],
        cwd=ROOT,
        env=environment | {"TMPDIR": str(tmp_path), "PYTHONDEVMODE": ""},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    goals = [line for line in done.stdout.splitlines() if line.startswith("goal ")]
    assert done.returncode == (0 if all(line.endswith(" ok") for line in goals) else 1), done.stderr
    for part in parts:
        for goal in EXPECTED[part]:
            assert any(goal in line for line in goals), done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_machine_that_cannot_install_the_peers_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.peers import venv

    wanted = tmp_path / "requirements.txt"
    wanted.write_text("no-such-distribution==1.0\n")
    monkeypatch.setattr(venv, "REQUIREMENTS", wanted)
    monkeypatch.setattr(venv, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(venv.PeersMissing, match="no-such-distribution"):
        venv.peers_python()
    assert list((tmp_path / "cache").iterdir()) == []
