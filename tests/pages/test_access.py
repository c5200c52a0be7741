"""Who gets which page: members, viewers, strangers, visitors, people without an organisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.models import Job
from orgs import roles
from orgs.models import User
from tests.conftest import make_user
from tests.pages.conftest import Browse

PAGES = ("/dashboard/", "/dashboard/analytics/", "/dashboard/workers/", "/dashboard/limits/")
FORM = "/dashboard/jobs/new/"


@pytest.fixture
def job(bob: User, submit: Callable[..., Job]) -> Job:
    return submit(bob, name="secret of acme", type="shell", payload={"command": "echo acme"})


@pytest.fixture
def asker(request: pytest.FixtureRequest) -> User:
    user: User = request.getfixturevalue(request.param)
    return user


@pytest.mark.parametrize("asker", ["alice", "bob", "vera", "charlie", "root_admin"], indirect=True)
@pytest.mark.parametrize("path", PAGES)
def test_everybody_who_is_logged_in_has_the_pages(browse: Browse, asker: User, path: str) -> None:
    page = browse(asker).get(path)
    assert page.status_code == 200
    assert asker.username in page.text


@pytest.mark.parametrize("path", [*PAGES, FORM, "/dashboard/jobs/1/", "/dashboard/jobs/1/cancel/"])
@pytest.mark.django_db
def test_a_visitor_is_led_to_the_login_and_back(browse: Browse, path: str) -> None:
    answer = browse(None).get(path)
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/dashboard/login/?next={path}"


@pytest.mark.parametrize("asker", ["alice", "bob", "root_admin"], indirect=True)
def test_who_may_read_the_org_sees_its_job(browse: Browse, asker: User, job: Job) -> None:
    client = browse(asker)
    assert "secret of acme" in client.get("/dashboard/").text
    assert "echo acme" in client.get(f"/dashboard/jobs/{job.pk}/").text


def test_a_stranger_sees_nothing_of_the_job(browse: Browse, charlie: User, job: Job) -> None:
    client = browse(charlie)
    paths = [*PAGES, FORM, f"/dashboard/jobs/{job.pk}/", f"/dashboard/jobs/{job.pk}/cancel/"]
    paths += ["/dashboard/?q=secret", f"/dashboard/?before={job.pk + 1}", f"/dashboard/?after={job.pk - 1}"]
    answers = {path: client.get(path) for path in paths}
    assert [path for path, answer in answers.items() if "secret of acme" in answer.text] == []
    assert [path for path, answer in answers.items() if "Acme" in answer.text] == []
    assert answers[f"/dashboard/jobs/{job.pk}/"].status_code == 404
    assert answers[f"/dashboard/jobs/{job.pk}/cancel/"].status_code == 404


def test_a_stranger_cannot_cancel(browse: Browse, charlie: User, job: Job) -> None:
    assert browse(charlie).post(f"/dashboard/jobs/{job.pk}/cancel/").status_code == 404
    job.refresh_from_db()
    assert (job.status, job.cancel_requested) == ("queued", False)


@pytest.mark.parametrize("job_id", [4711, 10**30])
def test_a_job_that_does_not_exist_is_404(browse: Browse, alice: User, job_id: int) -> None:
    answer = browse(alice).get(f"/dashboard/jobs/{job_id}/")
    assert answer.status_code == 404
    assert "To the dashboard" in answer.text


def test_a_viewer_has_no_form_and_no_buttons(browse: Browse, vera: User, job: Job) -> None:
    client = browse(vera)
    assert FORM not in client.get("/dashboard/").text
    assert "/cancel/" not in client.get(f"/dashboard/jobs/{job.pk}/").text
    assert client.get(FORM).status_code == 403
    assert client.post(FORM, {"name": "x", "type": "shell", "payload": "{}"}).status_code == 403
    assert client.get(f"/dashboard/jobs/{job.pk}/cancel/").status_code == 403
    assert client.post(f"/dashboard/jobs/{job.pk}/cancel/").status_code == 403
    assert Job.objects.count() == 1
    job.refresh_from_db()
    assert job.status == "queued"


def test_a_user_cancels_own_jobs_only(
    browse: Browse, bob: User, alice: User, submit: Callable[..., Any]
) -> None:
    theirs = submit(alice, name="of alice")
    assert browse(bob).get(f"/dashboard/jobs/{theirs.pk}/cancel/").status_code == 403
    assert browse(bob).post(f"/dashboard/jobs/{theirs.pk}/cancel/").status_code == 403
    theirs.refresh_from_db()
    assert theirs.status == "queued"


@pytest.mark.django_db
def test_somebody_without_an_organisation_is_told_so(browse: Browse) -> None:
    loner = make_user("loner", roles.USER, None)
    page = browse(loner).get("/dashboard/")
    assert page.status_code == 200
    assert "Ask the org admin of your organisation for an invitation" in page.text
    assert "There are no jobs yet" not in page.text
    assert "ws-connect" not in page.text
    answer = browse(loner).get(FORM)
    assert answer.status_code == 403
    assert "You belong to no organisation yet" in answer.text
    assert '<form method="post" action="/dashboard/jobs/new/"' not in answer.text
    assert browse(loner).post(FORM, {"name": "x", "type": "shell", "payload": "{}"}).status_code == 403


def test_a_platform_admin_without_an_organisation_is_told_how_to_submit(
    browse: Browse, root_admin: User
) -> None:
    client = browse(root_admin)
    assert "belong to none" in client.get("/dashboard/").text
    answer = client.get(FORM)
    assert answer.status_code == 403
    assert 'choose yours in the <a href="/admin/">Admin</a>' in answer.text


def test_a_role_is_said_in_words(browse: Browse, alice: User) -> None:
    page = browse(alice).get("/dashboard/").text
    assert "org admin</span>" in page
    assert "org_admin" not in page


@pytest.mark.parametrize(
    ("asker", "shown"),
    [("alice", True), ("root_admin", True), ("bob", False), ("vera", False)],
    indirect=["asker"],
)
def test_only_admins_see_the_way_to_the_admin(browse: Browse, asker: User, shown: bool) -> None:
    assert ('href="/admin/"' in browse(asker).get("/dashboard/").text) is shown
