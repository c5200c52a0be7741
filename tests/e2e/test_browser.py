"""A real browser in front of the real product: log in, submit, watch a job change without a reload."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

LIVE_MS = 30_000


def log_in(page: Page, platform: Running, username: str = "demo-user") -> None:
    page.goto(f"{platform.url}/")
    page.fill("input[name=username]", username)
    page.fill("input[name=password]", platform.logins[username])
    page.click("button[type=submit]")
    expect(page).to_have_url(f"{platform.url}/dashboard/")


def submit_job(page: Page, platform: Running, *, kind: str, name: str, payload: dict[str, object]) -> None:
    page.goto(f"{platform.url}/dashboard/jobs/new/?type={kind}")
    page.fill("input[name=name]", name)
    page.fill("textarea[name=payload]", json.dumps(payload))
    page.click("main button[type=submit]")


def test_a_submitted_job_changes_state_without_a_reload(page: Page, platform: Running) -> None:
    log_in(page, platform)
    submit_job(
        page,
        platform,
        kind="shell",
        name="slow greeting",
        payload={"command": "echo hello; sleep 3; echo bye"},
    )
    expect(page).to_have_url(re.compile(r"/dashboard/jobs/\d+/$"))
    page.evaluate("window.notReloaded = true")
    expect(page.locator("main")).to_contain_text("running", timeout=LIVE_MS)
    expect(page.locator("main")).to_contain_text("hello", timeout=LIVE_MS)
    expect(page.locator("main")).to_contain_text("finished with a result", timeout=LIVE_MS)
    expect(page.locator("main")).to_contain_text("bye")
    assert page.evaluate("window.notReloaded") is True


def test_the_list_is_live(page: Page, platform: Running) -> None:
    log_in(page, platform)
    page.evaluate("window.notReloaded = true")
    other = page.context.new_page()
    submit_job(other, platform, kind="python", name="seen elsewhere", payload={"function": "noop"})
    row = page.locator("tr", has_text="seen elsewhere")
    expect(row).to_be_visible(timeout=LIVE_MS)
    expect(row).to_contain_text("done", timeout=LIVE_MS)
    assert page.evaluate("window.notReloaded") is True


def test_bad_input_is_shown_at_its_field(page: Page, platform: Running) -> None:
    log_in(page, platform)
    submit_job(page, platform, kind="http", name="wrong", payload={"url": "ftp://example.org"})
    expect(page).to_have_url(re.compile(r"/dashboard/jobs/new/"))
    expect(page.locator("main")).to_contain_text("url")
    assert page.input_value("input[name=name]") == "wrong"


def test_analytics_draws_its_charts_and_follows(page: Page, platform: Running) -> None:
    log_in(page, platform)
    submit_job(page, platform, kind="shell", name="for the charts", payload={"command": "sleep 7"})
    page.goto(f"{platform.url}/dashboard/analytics/")
    expect(page.locator("canvas")).to_have_count(5, timeout=60_000)


def test_workers_and_leader_are_shown(page: Page, platform: Running) -> None:
    log_in(page, platform)
    page.goto(f"{platform.url}/dashboard/workers/")
    expect(page.locator("main")).to_contain_text("active")
    expect(page.locator("main")).to_contain_text(re.compile("term", re.IGNORECASE))


def test_a_viewer_reads_and_cannot_submit(page: Page, platform: Running) -> None:
    log_in(page, platform, "demo-viewer")
    expect(page.get_by_role("link", name="Submit a job")).to_have_count(0)
    expect(page.get_by_role("link", name="health check").first).to_be_visible()


def test_the_api_explorer_works_offline(page: Page, platform: Running) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{platform.url}/docs")
    expect(page.locator("body")).to_contain_text("/jobs/", timeout=LIVE_MS)
    assert [url for url in asked if not url.startswith((platform.url, "data:"))] == []


def test_an_org_admin_finds_only_the_own_organisation_in_the_admin(page: Page, platform: Running) -> None:
    log_in(page, platform, "demo-admin")
    page.goto(f"{platform.url}/admin/orgs/user/")
    expect(page.locator("body")).to_contain_text("demo-viewer")
    assert "platform-admin" not in page.locator("body").inner_text()


# The console reports what the Content-Security-Policy stops and expressions that cannot be read; `page` fails then.
PAGES = [
    "/dashboard/", "/dashboard/jobs/new/", "/admin/", "/admin/jobs/job/", "/admin/orgs/user/",
    "/admin/orgs/organization/", "/admin/orgs/auditentry/", "/docs",
]  # fmt: skip


def test_no_page_asks_for_more_than_its_policy_allows(page: Page, platform: Running) -> None:
    log_in(page, platform, "demo-admin")
    for path in PAGES:
        answer = page.goto(f"{platform.url}{path}", wait_until="load")
        assert answer is not None
        assert answer.status == 200, path
        assert "script-src 'self';" in f"{answer.headers['content-security-policy']};", path
        if path.startswith("/admin/"):
            expect(page.locator("[x-cloak]")).to_have_count(0)


def test_the_menus_of_the_admin_work_without_eval(page: Page, platform: Running) -> None:
    log_in(page, platform, "demo-admin")
    page.goto(f"{platform.url}/admin/jobs/job/")
    page.locator("[x-on\\:click='openUserLinks = !openUserLinks']").click()
    expect(page.locator("[x-show=openUserLinks]").first).to_be_visible()
    page.keyboard.press("Escape")
    page.goto(f"{platform.url}/admin/jobs/job/")
    page.locator("[x-on\\:click='filterOpen = true']").click()
    expect(page.locator("[x-show=filterOpen]").first).to_be_visible()
    page.goto(f"{platform.url}/admin/jobs/job/")
    page.locator("input.action-select").first.check()
    page.locator("select[name=action]").select_option("cancel_selected")
    expect(page.locator("button[name=index]").first).to_be_visible()
