"""docs/deployment.md lists the metrics; the dashboard shows all of them, and the code exports them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django_prometheus.middleware import Metrics
from prometheus_client.metrics import MetricWrapperBase

import predictor.guard
import scheduler.metrics
from analytics.collectors import GAUGES
from tests.deploy.files import DASHBOARD, ROOT, compose, read_yaml, text_of

Panel = dict[str, Any]
PANELS: list[Panel] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
ROLES = {
    "smartqueue_worker_": "worker",
    "smartqueue_scheduler_": "scheduler",
    "smartqueue_prediction_": "web",
}
PROMQL = {"sum", "min", "max", "by", "rate", "histogram_quantile"}
ROW = re.compile(r"^\| `(smartqueue_\w+)` \| (gauge|counter|histogram) \|(.*?)\| (\w+) \|", re.MULTILINE)


def documented() -> dict[str, tuple[str, set[str], str]]:
    """Metric -> (type, labels, role that exports it), as the table of docs/deployment.md says."""
    text = text_of("docs/deployment.md")
    rows = ROW.findall(text)
    return {name: (kind, set(re.findall(r"`(\w+)`", labels)), role) for name, kind, labels, role in rows}


def exported() -> dict[str, tuple[str, set[str], str]]:
    """The same, as the code says: the database's gauges and the guard's on web, the rest in scheduler.metrics."""
    found = {name: ("gauge", set(labels), "web") for name, _, labels in GAUGES}
    for metric in (*vars(scheduler.metrics).values(), *vars(predictor.guard).values()):
        if isinstance(metric, MetricWrapperBase | scheduler.metrics.Durations):
            (described,) = getattr(metric, "describe", metric.collect)()
            name = described.name + ("_total" if described.type == "counter" else "")
            role = next(role for start, role in ROLES.items() if name.startswith(start))
            found[name] = (described.type, set(getattr(metric, "_labelnames", ["type"])), role)
    return found


def expressions() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


def metrics_of(expression: str) -> set[str]:
    """The metric names in an expression: what is left without strings, ranges, label lists and functions."""
    bare = re.sub(r'"[^"]*"|\[\w+\]|\bby \([^)]*\)', " ", expression)
    bare = re.sub(r"\{[^}]*\}", " ", bare)
    return set(re.findall(r"[a-z_]\w*", bare)) - PROMQL


def family(name: str) -> str:
    """The metric that a sample belongs to: histograms export three samples each."""
    stem = re.sub(r"_(bucket|sum|count)$", "", name)
    return stem if documented().get(stem, ("",))[0] == "histogram" else name


def test_table_lists_what_the_code_exports() -> None:
    assert documented() == exported()


def test_dashboard_shows_every_metric_that_the_table_lists_and_no_other() -> None:
    shown = {family(name) for expression in expressions() for name in metrics_of(expression)}
    assert {name for name in shown if name.startswith("smartqueue_")} == documented().keys()
    django = {name for name in shown if not name.startswith("smartqueue_")}
    assert django == {"django_http_responses_total_by_status_total"}
    assert Metrics.get_instance().responses_by_status._name + "_total" in django


@pytest.mark.parametrize("expression", expressions())
def test_labels_in_the_dashboard_are_labels_of_the_metric(expression: str) -> None:
    groups = re.findall(r"\bby \(([^)]*)\)", expression)
    used = {label for group in groups for label in group.split(", ")} | set(re.findall(r"(\w+)=", expression))
    known = {"le", "status"} if "django_http" in expression else {"le"}
    for name in metrics_of(expression):
        known |= documented().get(family(name), ("", set(), ""))[1]
    assert used <= known


def test_panels_are_numbered_titled_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in PANELS)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_grafana_finds_the_data_source_and_the_dashboard() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = read_yaml(provisioning / "datasources" / "prometheus.yml")["datasources"]
    asked = {json.dumps(place["datasource"]) for panel in PANELS for place in [panel, *panel["targets"]]}
    assert asked == {json.dumps({"type": source["type"], "uid": source["uid"]})}
    host, _, port = source["url"].removeprefix("http://").partition(":")
    assert compose()["services"][host]["ports"][0].endswith(f":{port}")
    (provider,) = read_yaml(provisioning / "dashboards" / "smartqueue.yml")["providers"]
    mounts = [mount.split(":") for mount in compose()["services"]["grafana"]["volumes"]]
    assert [f"./{DASHBOARD.parent.relative_to(ROOT)}", provider["options"]["path"], "ro"] in mounts
