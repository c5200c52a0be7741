"""Logging in and out."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings

from orgs.models import User
from tests.conftest import PASSWORD
from tests.pages.conftest import Browse

LOGIN = "/dashboard/login/"


def test_login_leads_to_the_page_that_was_asked_for(browse: Browse, bob: User) -> None:
    client = browse(None)
    answer = client.post(LOGIN, {"username": "bob", "password": PASSWORD, "next": "/dashboard/workers/"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/dashboard/workers/")
    assert client.get(LOGIN).headers["Location"] == "/dashboard/"


def test_login_does_not_lead_to_another_site(browse: Browse, bob: User) -> None:
    answer = browse(None).post(
        LOGIN, {"username": "bob", "password": PASSWORD, "next": "https://evil.example/"}
    )
    assert answer.headers["Location"] == "/dashboard/"


def test_a_wrong_password_is_said_on_the_form(browse: Browse, bob: User) -> None:
    answer = browse(None).post(LOGIN, {"username": "bob", "password": "wrong"})
    assert answer.status_code == 200
    assert "Please enter a correct username and password" in answer.text


def test_guessing_is_limited(browse: Browse, bob: User, settings: Settings) -> None:
    settings.RATE_LOGIN = "3/h"
    client = browse(None)
    codes = [client.post(LOGIN, {"username": "bob", "password": "wrong"}).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]


def test_logout_ends_the_session_and_needs_a_post(browse: Browse, bob: User) -> None:
    client = browse(bob)
    assert client.get("/dashboard/logout/").status_code == 405
    assert client.post("/dashboard/logout/").headers["Location"] == LOGIN
    assert client.get("/dashboard/").status_code == 302


@pytest.mark.parametrize("path", ["/dashboard/logout/", "/dashboard/jobs/new/"])
def test_forms_of_other_sites_are_refused(bob: User, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(bob)
    assert client.post(path, {"name": "x", "type": "shell", "payload": "{}"}).status_code == 403
