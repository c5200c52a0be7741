from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import report, starts
from bench.goals import Goal
from bench.load import Observed
from bench.usage import Sample, Sampler, Usage, tree_of
from tests.waiting import wait_until


def test_a_start_is_noted_by_each_process_in_order_of_time(tmp_path: Path) -> None:
    noting = "from bench import starts; starts.note(1); starts.note(2)"
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", noting], env=os.environ | {starts.VARIABLE: str(tmp_path)}, check=True
        )

    noted = starts.read(tmp_path)
    assert [key for key, _ in noted] == [1, 2, 1, 2]
    assert [at for _, at in noted] == sorted(at for _, at in noted)
    assert starts.count(tmp_path) == 4


def test_cpu_between_two_moments_is_interpolated() -> None:
    usage = Usage([Sample(at, cpu, 1, 1, 1) for at, cpu in ((0, 0), (10, 5), (20, 5))])
    assert usage.cpu_between(2, 4) == pytest.approx(1)
    assert usage.cpu_between(5, 15) == pytest.approx(2.5)
    assert usage.cpu_between(0, 99) == pytest.approx(5)


def test_the_sampler_sees_the_work_of_children_and_grandchildren() -> None:
    busy = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\ninput()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE) as process:
        wait_until(lambda: len(tree_of(process.pid)) == 2)
        with Sampler(tree=[process.pid]) as sampler:
            wait_until(lambda: sampler.usage["tree"].samples[-1].cpu_s >= 0.3)
        process.communicate(b"\n")
    assert sampler.usage["tree"].most_processes == 2
    assert sampler.usage["tree"].peak_sum_mb > sampler.usage["tree"].peak_mb > 1


@pytest.mark.parametrize(
    ("figure", "at_least", "met"), [(2.0, True, True), (2.0, False, False), (1.0, True, True)]
)
def test_a_goal_is_met_on_its_side_of_the_target(figure: float, at_least: bool, met: bool) -> None:
    goal = Goal("of a test", figure, 1, at_least=at_least)
    assert goal.met is met
    assert str(goal).endswith(" ok" if met else " short")


def test_a_phase_has_quarters_and_windows() -> None:
    phase = Observed(8.0, [100, 300, 400, 500, 900], [(0.5, 2.0), (7.5, 4.0)], short=0.0)
    assert phase.rate == 100
    assert phase.quarters == [100, 50, 50, 200]
    assert list(phase.windows(4.0)) == [(4.0, [2.0]), (8.0, [4.0])]


def test_tables_are_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    report.table("A title", ["system", "rate"], [["one", 12345.6], ["two", math.nan]])
    assert capsys.readouterr().out == (
        "\n### A title\n\n| system | rate |\n|---|--:|\n| one | 12,346 |\n| two | - |\n"
    )
