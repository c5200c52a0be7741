"""The list: states with counts, filters, pages, and what it says when it is empty."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from jobs import claims, leases, page_selectors, services
from jobs.forms import ListFilter
from jobs.models import Job
from orgs.models import User
from tests.pages.conftest import Browse

Submit = Callable[..., Job]


def counts(html: str) -> dict[str, str]:
    return dict(re.findall(r'id="tab-(\w+)".*?<span class="count">([\d+]+)</span>', html))


def shown(html: str) -> list[str]:
    return re.findall(r'<a id="open-\d+"[^>]*>([^<]+)</a>', html)


@pytest.fixture
def five_states(bob: User, submit: Submit) -> None:
    submit(bob, name="done one")
    submit(bob, name="running one")
    claimed = claims.claim(worker_id="w1", types=["python"], limit=2, lease_s=60)
    done = next(job for job in claimed if job.name == "done one")
    leases.finish(worker_id="w1", ended=[claims.Finish(done.id, done.attempt, "done", 1234.0)])
    submit(bob, name="queued one", type="shell", payload={"command": "true"})
    submit(bob, name="later one", run_at=timezone.now() + timedelta(hours=3))
    services.cancel(job=submit(bob, name="cancelled one"), user=bob)


@pytest.mark.usefixtures("five_states")
def test_tabs_count_and_choose(browse: Browse, bob: User) -> None:
    client = browse(bob)
    page = client.get("/dashboard/").text
    assert counts(page) == {
        "all": "5", "queued": "1", "running": "1", "scheduled": "1", "done": "1", "failed": "0", "cancelled": "1"
    }  # fmt: skip
    assert shown(page) == ["cancelled one", "later one", "queued one", "running one", "done one"]
    assert shown(client.get("/dashboard/?status=running").text) == ["running one"]
    assert shown(client.get("/dashboard/?status=scheduled").text) == ["later one"]


@pytest.mark.usefixtures("five_states")
def test_filters_narrow_list_and_counts(browse: Browse, bob: User) -> None:
    client = browse(bob)
    by_type = client.get("/dashboard/?type=shell").text
    assert shown(by_type) == ["queued one"]
    assert counts(by_type)["all"] == "1"
    assert shown(client.get("/dashboard/?q=LATER").text) == ["later one"]
    assert "No done jobs match this filter." in client.get("/dashboard/?status=done&q=nothing").text


def test_a_queue_and_a_tag_narrow_the_list(browse: Browse, bob: User, submit: Submit) -> None:
    submit(bob, name="mail", queue="mail", tags=["nightly"])
    submit(bob, name="plain", tags=["nightly"])
    client = browse(bob)
    assert shown(client.get("/dashboard/?queue=mail").text) == ["mail"]
    page = client.get("/dashboard/?tag=nightly&queue=default").text
    assert shown(page) == ["plain"]
    assert counts(page)["all"] == "1"
    assert 'name="queue" value="default"' in page
    assert 'name="tag" value="nightly"' in page
    assert 'href="?status=queued&amp;queue=default&amp;tag=nightly"' in page


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("queue=a+b", "queue “a b”"),
        ("status=flying", "status “flying”"),
        ("type=cobol", "type “cobol”"),
        ("before=x", "before “x”"),
        ("after=0", "after “0”"),
        ("status=flying&type=" + "z" * 99, "status “flying”, type “" + "z" * 39 + "…”"),
    ],
)
def test_a_broken_address_is_named_and_the_rest_is_shown(
    browse: Browse, bob: User, submit: Submit, query: str, names: str
) -> None:
    submit(bob, name="still here")
    page = browse(bob).get(f"/dashboard/?{query}")
    assert page.status_code == 200
    assert page.text.count("notice") == 1
    assert f"Not understood in the address, and left out: {names}." in page.text
    assert "flying" not in page.text.split('role="search"')[1].split("</form>", maxsplit=1)[0]
    assert shown(page.text) == ["still here"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "There are no jobs yet."),
        ("?status=failed", "There are no failed jobs."),
        ("?before=5", "no older jobs"),
    ],
)
def test_empty_lists_say_so_in_words(browse: Browse, bob: User, query: str, words: str) -> None:
    assert words in browse(bob).get(f"/dashboard/{query}").text


def test_pages_lead_to_older_jobs_and_back(browse: Browse, bob: User, submit: Submit) -> None:
    names = [f"job {number}" for number in range(2 * page_selectors.PAGE_SIZE + 1)]
    for name in names:
        submit(bob, name=name)
    client, newest_first, size = browse(bob), names[::-1], page_selectors.PAGE_SIZE

    def follow(html: str, link: str) -> str:
        found = re.search(rf'id="{link}"[^>]*href="\?([^"]*)"', html)
        assert found, f"no link to {link} jobs"
        return client.get(f"/dashboard/?{found[1]}").text

    first = client.get("/dashboard/").text
    second = follow(first, "older")
    third = follow(second, "older")
    assert shown(first) + shown(second) + shown(third) == newest_first
    assert 'id="newer"' not in first
    assert 'id="older"' not in third
    assert shown(follow(third, "newer")) == newest_first[size : 2 * size]
    assert shown(follow(follow(third, "newer"), "newer")) == newest_first[:size]


def test_counting_stops_at_the_cap(
    browse: Browse, bob: User, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_selectors, "COUNT_CAP", 2)
    for _ in range(3):
        submit(bob)
    page = counts(browse(bob).get("/dashboard/").text)
    assert (page["all"], page["queued"], page["done"]) == ("2+", "2+", "0")


def test_filtered_counts_reach_no_further_than_the_cap(
    browse: Browse, bob: User, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("old a", "old b", "new a", "new b", "new c"):
        submit(bob, name=name)
    monkeypatch.setattr(page_selectors, "COUNT_CAP", 4)
    page = browse(bob).get("/dashboard/?q=a").text
    assert (counts(page)["all"], counts(page)["queued"]) == ("1+", "1+")
    monkeypatch.setattr(page_selectors, "COUNT_CAP", 5)
    assert counts(browse(bob).get("/dashboard/?q=a").text)["queued"] == "2"


def test_a_filtered_look_counts_once(
    bob: User, submit: Submit, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    submit(bob)
    wanted = page_selectors.wanted_from(ListFilter({"q": "x"}))
    with django_assert_num_queries(2):
        page_selectors.tabs(bob, wanted)


def test_the_list_costs_the_same_for_one_job_and_for_many(
    browse: Browse, bob: User, submit: Submit, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(page_selectors.PAGE_SIZE):
        submit(bob)
    client = browse(bob)
    with django_assert_max_num_queries(14):
        client.get("/dashboard/")


def test_a_platform_admin_sees_whose_job_it_is(
    browse: Browse, root_admin: User, bob: User, submit: Submit
) -> None:
    submit(bob)
    assert "· Acme" in browse(root_admin).get("/dashboard/").text
