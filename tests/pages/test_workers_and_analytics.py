"""The worker pool, the leader, and the charts' data, words and tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.utils import timezone

from analytics import page_selectors
from analytics.models import QueueSample
from jobs import claims, leases, selectors
from jobs.models import Job, SchedulerLeader, Worker
from orgs.models import User
from tests.pages.conftest import Browse

Submit = Callable[..., Job]
CHARTS = ("throughput", "scatter", "accuracy", "calibration", "depth")


def chart(page: str, key: str) -> dict[str, Any]:
    found = re.search(rf'<script id="{key}" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found, f"no data for the chart {key}"
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_no_workers_and_no_leader_is_said_in_words(browse: Browse, vera: User) -> None:
    page = browse(vera).get("/dashboard/workers/").text
    assert "No worker is running: jobs wait in the queue." in page
    assert "No scheduler has been elected yet." in page


def test_workers_and_leader(browse: Browse, charlie: User) -> None:
    now = timezone.now()
    Worker.objects.create(
        worker_id="w1", hostname="node-7", pid=42, concurrency=4, running=3, jobs_processed=17, last_seen=now
    )
    Worker.objects.create(
        worker_id="w2", hostname="silent", pid=43, concurrency=8, last_seen=now - timedelta(minutes=9)
    )
    Worker.objects.create(
        worker_id="w3",
        hostname="long-gone",
        pid=44,
        concurrency=8,
        status="stopped",
        jobs_processed=5,
        last_seen=now - timedelta(days=1),
    )
    SchedulerLeader.objects.update_or_create(
        id=1, defaults={"worker_id": "sched-1", "term": 7, "last_seen": now}
    )
    page = browse(charlie).get("/dashboard/workers/").text
    assert "node-7" in page
    assert "3/4" in page
    assert "3 of 4" in page
    assert "silent" in page
    assert "9 min ago" in page
    assert 'badge-lost">lost<' in page
    assert "long-gone" not in page
    assert "<dd>22</dd>" in page, "what the one that is not shown has processed counts as well"
    assert "sched-1" in page
    assert "<dd>7</dd>" in page
    assert "leads" in page


def test_a_silent_leader_is_marked(browse: Browse, vera: User) -> None:
    last_seen = timezone.now() - timedelta(seconds=selectors.LEADER_SILENT_S)
    SchedulerLeader.objects.update_or_create(
        id=1, defaults={"worker_id": "s", "term": 1, "last_seen": last_seen}
    )
    assert "badge-lost" in browse(vera).get("/dashboard/workers/").text


def test_charts_without_data_say_so(browse: Browse, vera: User) -> None:
    page = browse(vera).get("/dashboard/analytics/").text
    assert page.count('<p class="empty">') == 5
    assert "application/json" not in page


def test_charts_have_data_words_and_tables(browse: Browse, bob: User, submit: Submit) -> None:
    submit(bob, name="</script><b>")
    claimed = claims.claim(worker_id="w", types=["python"], limit=1, lease_s=60)[0]
    leases.finish(worker_id="w", ended=[claims.Finish(claimed.id, claimed.attempt, "done", 1000.0)])
    QueueSample.objects.create(org_id=bob.org_id, taken_at=timezone.now(), queued=5, running=2, scheduled=1)
    page = browse(bob).get("/dashboard/analytics/").text
    assert sum(chart(page, "throughput")["series"]["done"]) == 1
    assert [point["y"] for point in chart(page, "scatter")["series"]["python"]] == [1000]
    assert max(filter(None, chart(page, "depth")["series"]["queued"])) == 5
    assert len(chart(page, "accuracy")["labels"]) == 24
    assert "The latest 1 finished job." in page
    assert "1 done, 0 failed, 0 cancelled, 0 retried." in page
    assert page.count("<summary>As a table</summary>") == 4
    assert "</script><b>" not in page


def test_the_depth_table_has_the_most_of_each_row(bob: User) -> None:
    """A burst between two rows' times is what people look for."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    for seconds, queued in ((60 * 23, 430), (60 * 23 - 4, 12), (60 * 22, 0)):
        taken_at = now - timedelta(seconds=seconds)
        QueueSample.objects.create(
            org_id=bob.org_id, taken_at=taken_at, queued=queued, running=2, scheduled=0
        )
    shown = page_selectors.queue_depth(bob, now=now - timedelta(microseconds=1))
    assert shown.columns[1] == "Queued, at most"
    assert len(shown.rows) == 12
    assert [row for row in shown.rows if row[1]] == [[f"{now - timedelta(minutes=25):%H:%M}", 430, 2, 0]]


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_has_a_canvas_with_a_description(browse: Browse, vera: User, name: str) -> None:
    page = browse(vera).get("/dashboard/analytics/").text
    assert re.search(rf'<canvas data-chart="{name}" role="img" aria-label="[^"]+">', page)


@pytest.mark.parametrize(
    "path",
    [
        "unfold/js/chart/chart.js",
        "django_htmx/htmx-2.min.js",
        "django_htmx/ext/hx-ws-2.min.js",
        "css/app.css",
        "js/app.js",
        "img/favicon.svg",
    ],
)
def test_files_of_other_packages_are_where_the_pages_expect_them(path: str) -> None:
    assert finders.find(path), f"{path} is gone"
