"""The report of a retraining as a person gets it: a file, its words, tables and plots."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import statistics
from pathlib import Path

import pytest

from predictor.report import Judged, write
from predictor.report.scatter import MOST_POINTS
from tests.predictor.report_page import HOUR, Node, judged, read
from tests.predictor.test_report_figures import pairs_in_order, some

HOSTILE = "\"><script>alert('x')</script>&amp;\x00"
PLOTS = ["scatter", "errors", "calibration", "coverage"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.html"


def report(path: Path, runs: list[Judged], **said: object) -> Node:
    write(path, **{"title": "A retraining", "summary": {}, "verdict": "It goes live.", **said}, runs=runs)  # type: ignore[arg-type]
    return read(path.read_text())


def plots(page: Node) -> list[str]:
    return [svg.attributes["id"] for svg in page.all("svg")]


def test_verdict_and_figures_come_first(path: Path) -> None:
    page = report(path, some(50), summary={"Epochs": 14, "Runs": 84_213, "Seconds": 48.25, "Parent": "<7>"})
    (main,) = page.all("main")
    first = [child for child in main.children if isinstance(child, Node)][:3]
    assert [node.text for node in first[:2]] == ["A retraining", "It goes live."]
    assert [node.attributes["id"] for node in first[2].all("table")] == ["overview"]
    training = [["Epochs", "14"], ["Runs", "84,213"], ["Seconds", "48.25"], ["Parent", "<7>"]]
    assert page.one("summary").rows() == training


def test_overview_says_what_a_plain_computation_finds(path: Path) -> None:
    runs = some(200)
    cut = [judged(actual_ms=9e6, censored=True)] * 7
    shown = {row[0]: row[1:] for row in report(path, runs + cut).one("overview").rows()}
    assert list(shown) == ["challenger", "champion", "baseline"]
    inside = sum(run.low_ms <= run.actual_ms <= run.high_ms for run in runs) / len(runs)
    for name, field in (
        ("challenger", "predicted_ms"),
        ("champion", "champion_ms"),
        ("baseline", "baseline_ms"),
    ):
        known = [run for run in runs if getattr(run, field) is not None]
        said = [(getattr(run, field), run.actual_ms) for run in known]
        assert shown[name] == [
            f"{statistics.fmean(abs(math.log2(p / a)) for p, a in said):.3f}",
            f"{100 * statistics.median(abs(p - a) / a for p, a in said):.1f} %",
            f"{100 * inside:.1f} %" if name == "challenger" else "–",  # noqa: RUF001
            f"{100 * pairs_in_order(known, field):.1f} %",
            str(len(known)),
        ]


def test_best_figure_is_bold(path: Path) -> None:
    runs = [
        judged(at=HOUR + n, actual_ms=1000.0 + n, predicted_ms=1000.0 + n, baseline_ms=4000.0)
        for n in range(5)
    ]
    page = report(path, runs)
    assert [node.text for node in page.one("overview").all("strong")] == ["0.000", "0.0 %", "100.0 %"]
    assert [node.text for node in page.one("types").all("strong")] == ["0.000"]


def test_table_by_type_counts_those_cut_short_but_does_not_measure_them(path: Path) -> None:
    runs = [
        judged(job_type="ml", predicted_ms=2000.0),
        judged(job_type="ml", actual_ms=9e6, censored=True),
        judged(),
    ]
    rows = report(path, runs).one("types").rows()
    assert [row[:6] for row in rows] == [
        ["http", "1", "0", "1 s", "0.000", "–"],  # noqa: RUF001
        ["ml", "2", "1", "1 s", "1.000", "–"],  # noqa: RUF001
    ]


def test_wild_errors_do_not_stretch_the_tables(path: Path) -> None:
    page = report(path, [judged(actual_ms=1.0, predicted_ms=1e30)])
    assert page.one("overview").rows()[0][2] == "over 100,000 %"
    assert all(
        len(cell) < 20
        for name in ("overview", "types", "parts")
        for row in page.one(name).rows()
        for cell in row
    )


def test_calibration_is_shown_over_all_and_by_type(path: Path) -> None:
    runs = [judged(actual_ms=actual) for actual in (100.0, 600.0, 700.0, 5000.0)] + [judged(job_type="ml")]
    page = report(path, runs)
    assert page.one("levels").rows() == [
        ["all types", "5", "20.0 %", "70.0 %", "80.0 %"],
        ["http", "4", "25.0 %", "75.0 %", "75.0 %"],
        ["ml", "1", "0.0 %", "50.0 %", "100.0 %"],
    ]
    (told,) = page.one("calibration").all("desc")
    assert (
        "http: 25% of 4 runs below the predicted low, 75% below the median, 75% below the high." in told.text
    )


def test_errors_over_time_are_drawn_and_in_numbers(path: Path) -> None:
    early = [judged(at=HOUR + n, predicted_ms=2000.0, baseline_ms=4000.0) for n in range(3)]
    late = [judged(at=HOUR + 86_400, predicted_ms=500.0, baseline_ms=8000.0, low_ms=1100.0)]
    page = report(path, early + late)
    assert page.one("parts").rows() == [
        ["1 Jan 2026 00:00", "http", "3", "1.000", "2.000", "100.0 %"],
        ["2 Jan 2026 00:00", "http", "1", "1.000", "3.000", "0.0 %"],
    ]
    errors = page.one("errors")
    assert len(list(errors.all("path", "dot"))) == 2 + 2 * 2, "a legend of two, and two lines of two parts"
    assert len(list(errors.all("path", "line"))) == 2 * 2, "both lines broken where nothing ran"


def test_scatter_is_thinned_and_keeps_rare_types(path: Path) -> None:
    often = [judged(at=HOUR + n, actual_ms=100.0 + n) for n in range(5000)]
    rare = [judged(at=HOUR + n, job_type="ml") for n in range(20)]
    page = report(path, often + rare)
    points = list(page.one("scatter").all("path", "point"))
    assert 1000 < len(points) <= MOST_POINTS
    assert len(list(page.one("scatter").all("path", "t1"))) == 20 + 1, "all of the rare type, and the legend"


def test_scatter_puts_a_run_where_its_times_are(path: Path) -> None:
    runs = [
        judged(actual_ms=1000.0, predicted_ms=100_000.0),
        judged(actual_ms=100_000.0, predicted_ms=1000.0),
    ]
    placed = [
        tuple(map(float, re.findall(r"[\d.]+", node.attributes["transform"])))
        for node in report(path, runs).one("scatter").all("path", "point")
    ]
    (left, upper), (right, lower) = placed
    assert left < right
    assert upper < lower
    assert right - left == pytest.approx(lower - upper, abs=0.2), "both axes have the same scale"


def test_more_types_than_shapes_share_the_last(path: Path) -> None:
    runs = [judged(job_type=f"type-{n}") for n in range(9) for _ in range(10 - n)]
    page = report(path, runs)
    levels = [row[0] for row in page.one("levels").rows()]
    assert levels == ["all types", *(f"type-{n}" for n in range(5)), "4 other types"]
    assert len(page.one("types").rows()) == 9


@pytest.mark.parametrize(
    ("runs", "drawn"),
    [
        ([], []),
        ([judged()], PLOTS),
        ([judged()] * 40, PLOTS),
        ([judged(actual_ms=0.0, predicted_ms=0.0, low_ms=0.0, high_ms=0.0, baseline_ms=0.0)], PLOTS),
        ([judged(at=0.0, actual_ms=1e-9), judged(at=2.5e11, actual_ms=1e300)], PLOTS),
        ([judged(at=HOUR + n, censored=True) for n in range(5)], ["scatter"]),
    ],
    ids=["none", "one", "all the same", "all zero", "huge", "only cut short"],
)
def test_odd_runs_are_drawn_or_explained(path: Path, runs: list[Judged], drawn: list[str]) -> None:
    page = report(path, runs)
    assert plots(page) == drawn
    assert len(list(page.all("p", "nothing"))) == len(PLOTS) - len(drawn)
    assert not re.search(r"\b(nan|inf|None)\b", path.read_text())
    for node in page.every():
        for number in re.findall(r"-?\d+\.?\d*", node.attributes.get("transform", "")):
            assert -1 <= float(number) <= 800


def test_runs_cut_short_are_hollow_and_said(path: Path) -> None:
    page = report(path, [judged(), judged(actual_ms=5000.0, censored=True)])
    assert len(list(page.one("scatter").all("path", "point"))) == 2
    assert (
        len([node for node in page.one("scatter").all("path", "open") if "point" in node.attributes["class"]])
        == 1
    )
    (note,) = (p.text for p in page.all("p", "note") if "cut short" in p.text)
    assert "1 of them were cut short" in note
    assert "1 had by then run longer than predicted" in note


def test_hostile_words_stay_words(path: Path) -> None:
    page = report(
        path, [judged(job_type=HOSTILE)], title=HOSTILE, verdict=HOSTILE, summary={HOSTILE: HOSTILE}
    )
    shown = HOSTILE.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    assert [node.text for node in page.all("h1")] == [shown]
    assert page.one("types").rows()[0][0] == shown
    assert page.one("summary").rows() == [[shown, shown]]
    assert not list(page.all("script"))
    assert "<script" not in path.read_text()


def test_page_loads_and_runs_nothing(path: Path) -> None:
    page = report(path, some(50))
    (style,) = page.all("style")
    digest = base64.b64encode(hashlib.sha256(style.text.encode()).digest()).decode()
    (policy,) = (meta.attributes["content"] for meta in page.all("meta") if "http-equiv" in meta.attributes)
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert "prefers-color-scheme:dark" in style.text
    assert "@media print" in style.text
    for node in page.every():
        assert node.tag not in {"script", "link", "img", "iframe"}
        assert not {"src", "href", "style"} & set(node.attributes)
        assert not [name for name in node.attributes if name.startswith("on")]
    assert not re.search(r"https?://|url\(|@import", path.read_text())


def test_plots_have_names_and_descriptions(path: Path) -> None:
    page = report(path, some(50))
    for svg in page.all("svg"):
        assert svg.attributes["role"] == "img"
        for name in svg.attributes["aria-labelledby"].split():
            assert len(page.one(name).text) > 5
    ids = [node.attributes["id"] for node in page.every() if "id" in node.attributes]
    assert len(ids) == len(set(ids))


def test_report_is_replaced_whole_and_leaves_nothing_beside_it(path: Path) -> None:
    path.write_text("old")
    report(path, [judged()])
    assert path.read_text().startswith("<!doctype html>")
    assert path.read_text().endswith("</html>\n")
    assert list(path.parent.iterdir()) == [path]


def test_path_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for wrong in (
        tmp_path,
        tmp_path / "none" / "out.html",
        tmp_path / "file" / "out.html",
        tmp_path / "loop",
    ):
        with pytest.raises(OSError, match=f"could not be written to {re.escape(str(wrong))}: "):
            write(wrong, title="", summary={}, verdict="", runs=[])
    with pytest.raises(OSError, match="/dev/null: expected the path of a file"):
        write(Path("/dev/null"), title="", summary={}, verdict="", runs=[])
    assert (tmp_path / "file").read_text() == "kept"
    assert len(list(tmp_path.iterdir())) == 2
