"""What browsers are told about scripts, frames, other sites and HTTPS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client, override_settings

from orgs.models import User
from smartqueue import plain_http
from tests.deploy.files import run_settings

ROOT = Path(__file__).resolve().parent.parent.parent
ELSEWHERE = "https://tools.example.org"
PRODUCTION = {
    "SMARTQUEUE_HTTPS": "true",
    "SMARTQUEUE_SECRET_KEY": "J3uW-7kq_pT0vXzR5mYb8Ne2Lc4Hd6Fg9Sa1QwErTyUiOpZxCv",
    "SMARTQUEUE_ALLOWED_HOSTS": "queue.example.org",
    "DATABASE_URL": "postgresql://smartqueue@127.0.0.1/smartqueue",
}


def policy(answer: Any) -> dict[str, set[str]]:
    found = [part.split() for part in answer["Content-Security-Policy"].split(";")]
    return {name: set(values) for name, *values in found}


@pytest.mark.parametrize("path", ["/dashboard/", "/docs", "/schema", "/orgs/me", "/admin/", "/nowhere"])
def test_every_answer_has_the_policies(client: Client, alice: User, path: str) -> None:
    client.force_login(alice)
    answer = client.get(path)
    told = policy(answer)
    assert told["default-src"] == told["frame-ancestors"] == told["base-uri"] == {"'none'"}
    assert told["script-src"] == {"'self'"}
    assert told["connect-src"] == told["form-action"] == {"'self'"}
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]


def test_styles_of_the_dashboard_come_from_files(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert policy(client.get("/dashboard/"))["style-src"] == {"'self'"}


def test_the_checks_for_deployment_have_nothing_to_say() -> None:
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    environment = {**PRODUCTION, "DJANGO_SETTINGS_MODULE": "smartqueue.settings", "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


class TestOtherSites:
    @pytest.fixture
    def open_to_one(self) -> Any:
        from django.conf import settings

        middleware = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]
        with override_settings(MIDDLEWARE=middleware, CORS_ALLOWED_ORIGINS=[ELSEWHERE]):
            yield

    def asked(self, client: Client, path: str = "/orgs/me", origin: str = ELSEWHERE, **more: Any) -> Any:
        headers = {"origin": origin, "access-control-request-method": "POST", **more}
        return client.options(path, headers=headers)

    def test_none_is_let_in_by_default(self, client: Client, db: None) -> None:
        answer = self.asked(client)
        assert not any(name.lower().startswith("access-control") for name in answer.headers)

    def test_one_that_is_named(self, client: Client, db: None, open_to_one: None) -> None:
        answer = self.asked(client)
        assert answer["Access-Control-Allow-Origin"] == ELSEWHERE
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "authorization" in answer["Access-Control-Allow-Headers"]

    @pytest.mark.parametrize("origin", ["https://evil.example.org", "http://tools.example.org", "null"])
    def test_no_other(self, client: Client, db: None, open_to_one: None, origin: str) -> None:
        assert "Access-Control-Allow-Origin" not in self.asked(client, origin=origin).headers

    @pytest.mark.parametrize("path", ["/admin/", "/dashboard/", "/docs", "/metrics", "/admin"])
    def test_pages_are_nobody_elses(self, client: Client, db: None, open_to_one: None, path: str) -> None:
        assert "Access-Control-Allow-Origin" not in self.asked(client, path).headers

    def test_a_submission_from_another_site_goes_the_long_way(self) -> None:
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"2")]
        scope = {"query_string": b"", "headers": headers}
        assert plain_http.plain_headers(scope) is not None
        assert plain_http.plain_headers({**scope, "headers": [*headers, (b"origin", b"x")]}) is None

    def test_the_short_way_answers_the_same_headers(self, open_to_one: None) -> None:
        assert (b"vary", b"origin") in {
            (name.lower(), value.lower()) for name, value in plain_http.headers_of_view("/jobs/")
        }

    @pytest.mark.parametrize("wrong", ["*", "https://tools.example.org/"])
    def test_a_name_that_no_browser_would_send_is_refused_at_start(self, wrong: str) -> None:
        ran = run_settings("", {**PRODUCTION, "SMARTQUEUE_CORS_ORIGINS": wrong})
        assert f"SMARTQUEUE_CORS_ORIGINS: '{wrong}'; expected scheme and host" in ran.stderr
