"""Every page of the dashboard and what is beside API and admin, asked for the other organisation's things."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils.http import urlencode

from tests.isolation import routes
from tests.isolation.conftest import FILTERED, WALL_ALONE
from tests.isolation.walking import METHODS, Walker

pytestmark = pytest.mark.django_db
PAGES = [route for route in routes.all_routes() if not route.is_api and not route.name.startswith("admin:")]
FILTERING = {"page-jobs", "page-replay-many", "page-limit-new"}
PEOPLE = [(who, WALL_ALONE) for who in ("boss", "viewer", "mirror")]


@pytest.mark.parametrize("walker", [("boss", FILTERED), *PEOPLE], indirect=True)
def test_nothing_comes_back_and_nothing_changes(walker: Walker) -> None:
    for route in PAGES:
        may_write = routes.WRITES_ELSEWHERE.get(route.name, "")
        for path in route.paths(walker.far):
            forms = [*routes.FORMS[route.name](walker.far), routes.everything_named(walker.far)]
            walker.ask_all(METHODS, path, forms, form=True, may_write=may_write)
    walker.check()


@pytest.mark.parametrize("walker", [("boss", WALL_ALONE), ("mirror", WALL_ALONE)], indirect=True)
def test_queries(walker: Walker) -> None:
    """Each parameter by itself on the pages that filter, all of them together on every page."""
    values = {name: values(walker.far) for name, values in routes.QUERIES.items()}
    single = [{name: value} for name, found in values.items() for value in found]
    together = {name: found[0] for name, found in values.items()}
    for route in PAGES:
        for query in [*(single if route.name in FILTERING else []), together]:
            walker.ask("GET", f"{route.paths(walker.far)[0]}?{urlencode(query)}")
    walker.check()


@pytest.mark.parametrize("walker", [("boss", WALL_ALONE)], indirect=True)
def test_a_visitor_sees_nothing(walker: Walker) -> None:
    walker.client, walker.name = Client(raise_request_exception=False), "a visitor"
    for route in routes.all_routes():
        if not route.name.startswith("admin:"):
            for far in (walker.far, walker.home):
                walker.ask("GET", route.paths(far)[0])
    walker.check()


@pytest.mark.parametrize("walker", [("boss", WALL_ALONE)], indirect=True)
def test_a_strangers_row_is_answered_like_one_that_is_not_there(walker: Walker) -> None:
    beyond = str(walker.far.brand.first + 777_777)
    for route in [*PAGES, *(route for route in routes.all_routes() if route.is_api)]:
        if not (set(route.places) - {"worker_id", "queue"}):
            continue
        [path, *_] = route.paths(walker.far)
        [word] = walker.far.brand.telling.findall(path)
        for method in ("GET", "POST", "DELETE"):
            theirs, none = (walker.ask(method, one) for one in (path, path.replace(word, beyond)))
            assert (theirs.status_code, _said(theirs, word)) == (none.status_code, _said(none, beyond)), path
    walker.check()


def _said(answer: object, word: str) -> str:
    """The answer without what is another one for each request; of a page only where it leads."""
    kind = answer.headers.get("Content-Type", "")
    text = answer.content.decode() if "json" in kind else answer.headers.get("Location", "")
    return text.replace(word, "ID").replace(answer.headers.get("X-Request-ID", "-"), "REQUEST")


@pytest.mark.parametrize("walker", [("boss", FILTERED)], indirect=True)
def test_own_rows_are_found_by_the_same_walk(walker: Walker) -> None:
    walker.far = walker.home
    telling = {
        route.name
        for route in PAGES
        for path in route.paths(walker.home)
        if walker.leaks(walker.ask("GET", path).content.decode(), path)
    }
    assert telling >= {
        "page-jobs", "page-job", "page-job-cancel", "page-job-replay", "page-limits", "page-limit", "page-limit-remove",
        "page-organisation", "page-member", "page-member-remove", "page-invitation-revoke", "page-hand-over",
        "page-keys", "page-key-revoke", "page-resume", "page-replay-cancel", "page-workers", "page-analytics",
    }  # fmt: skip
