from __future__ import annotations

import re
from pathlib import Path

from bench.chaos.scenarios import SCENARIOS

README = Path(__file__).resolve().parents[2] / "bench" / "chaos" / "README.md"


def test_readme_has_a_row_for_each_scenario() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|.*\|([^|]*)\|$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name, _ in rows] == list(SCENARIOS)
    assert {name for name, more in rows if "spared" in more} == {
        one.name for one in SCENARIOS.values() if one.spared
    }
