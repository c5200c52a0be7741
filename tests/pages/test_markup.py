"""Rules for all pages: ready for a strict Content-Security-Policy, and readable without eyes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser

import pytest

from jobs import control, limits, replays
from jobs.models import Job
from orgs import api_keys
from orgs.models import User
from tests.jobs_api.conftest import claim, finish
from tests.pages.conftest import Browse

PAGES = (
    "/dashboard/",
    "/dashboard/?status=done&q=x",
    "/dashboard/jobs/new/?type=ml",
    "/dashboard/jobs/{job}/",
    "/dashboard/jobs/{job}/cancel/",
    "/dashboard/analytics/",
    "/dashboard/workers/",
    "/dashboard/?status=failed",
    "/dashboard/jobs/{dead}/",
    "/dashboard/jobs/{dead}/replay/",
    "/dashboard/pauses/new/",
    "/dashboard/replays/new/",
    "/dashboard/limits/",
    "/dashboard/limits/new/",
    "/dashboard/limits/{limit}/",
    "/dashboard/limits/{limit}/remove/",
    "/dashboard/keys/",
    "/dashboard/keys/new/",
    "/dashboard/keys/{key}/revoke/",
    "/dashboard/jobs/999999999/",
    "/dashboard/login/",
)


class Elements(HTMLParser):
    """Every element with its attributes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


@pytest.fixture(params=PAGES)
def elements(
    request: pytest.FixtureRequest, browse: Browse, alice: User, submit: Callable[..., Job]
) -> Elements:
    dead = finish(claim(submit(alice, max_retries=0)), "failed", error="broken")
    job = submit(alice)
    control.pause(user=alice)
    replays.start(org=dead.org, user=alice, wanted=replays.ReplayFilter())
    limit = limits.set_limit(user=alice, org=dead.org, scope="queue", name="mail", max_running=1)
    key, _ = api_keys.create(user=alice, name="nightly", scopes=["jobs:read"])
    client = browse(None if "login" in request.param else alice)
    ids = {"job": job.pk, "dead": dead.pk, "limit": limit.pk, "key": key.pk}
    return Elements(client.get(request.param.format(**ids)).text)


def of(elements: Elements, *tags: str) -> Iterator[dict[str, str]]:
    return (attributes for tag, attributes in elements.found if tag in tags)


def test_nothing_is_inline(elements: Elements) -> None:
    scripts = list(of(elements, "script"))
    assert [one for one in scripts if "src" not in one and one.get("type") != "application/json"] == []
    assert list(of(elements, "style")) == []
    handlers = re.compile(r"^(on|hx-on|style$)")
    assert [
        (tag, name) for tag, attributes in elements.found for name in attributes if handlers.match(name)
    ] == []


def test_everything_comes_from_this_site(elements: Elements) -> None:
    loaded = [one for one in of(elements, "script", "link", "img") if one.get("type") != "application/json"]
    addresses = [one.get("src") or one.get("href", "") for one in loaded]
    assert [address for address in addresses if not address.startswith("/static/")] == []


def test_ids_are_unique_and_fields_have_labels(elements: Elements) -> None:
    ids = Counter(attributes["id"] for _, attributes in elements.found if "id" in attributes)
    assert [name for name, times in ids.items() if times > 1] == []
    labelled = {one["for"] for one in of(elements, "label")}
    fields = [one for one in of(elements, "input", "select", "textarea") if one.get("type") != "hidden"]
    assert [field for field in fields if field.get("id") not in labelled] == []
    assert [one for one in of(elements, "img") if "alt" not in one] == []
    assert [one for one in of(elements, "th") if "scope" not in one] == []


def test_each_page_has_one_heading_and_one_main(elements: Elements) -> None:
    assert len(list(of(elements, "h1"))) == 1
    assert len(list(of(elements, "main"))) == 1
