"""Whatever goes wrong: one JSON shape for programs, a plain page for people, and no inner detail for either."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import OperationalError
from django.test import Client, RequestFactory

from smartqueue import asgi
from smartqueue.errors import flatten, handler500
from tests.processes import ROOT

failing = pytest.mark.urls("tests.smartqueue.failing_urls")


@pytest.fixture
def visitor() -> Client:
    return Client(raise_request_exception=False)


def error_of(answer: Any) -> tuple[int, str, dict[str, list[str]]]:
    body = answer.json()
    assert set(body) == {"error"}
    assert {"code", "message"} <= set(body["error"]) <= {"code", "message", "fields"}
    assert body["error"]["message"]
    return answer.status_code, body["error"]["code"], body["error"].get("fields", {})


BOTH_WAYS = [
    ("bad-request", 400, "bad_request"),
    ("suspicious", 400, "bad_request"),
    ("denied", 403, "forbidden"),
    ("http404", 404, "not_found"),
    ("our-limit", 429, "rate_limited"),
    ("forbidden", 403, "forbidden"),
    ("no-org", 403, "no_organization"),
    ("credentials", 401, "invalid_credentials"),
    ("operational", 503, "database_unavailable"),
    ("interface", 503, "database_unavailable"),
    ("pool", 503, "database_unavailable"),
    ("bug", 500, "internal_error"),
]


@failing
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        *BOTH_WAYS,
        ("too-big", 413, "too_large"),
        ("drf-denied", 403, "forbidden"),
        ("drf-404", 404, "not_found"),
        ("throttled", 429, "rate_limited"),
        ("ratelimited", 429, "rate_limited"),
    ],
)
def test_api(visitor: Client, fault: str, status: int, code: str) -> None:
    answer = visitor.get(f"/api/fail/{fault}")
    assert error_of(answer) == (status, code, {})
    assert "secret" not in answer.content.decode()


@failing
@pytest.mark.parametrize(("fault", "status", "code"), BOTH_WAYS)
def test_json_outside_of_rest_framework(visitor: Client, fault: str, status: int, code: str) -> None:
    answer = visitor.get(f"/plain/{fault}")
    assert error_of(answer) == (status, code, {})
    assert "secret" not in answer.content.decode()


@failing
@pytest.mark.parametrize(("fault", "status", "code"), BOTH_WAYS)
def test_pages(visitor: Client, fault: str, status: int, code: str) -> None:
    answer = visitor.get(f"/dashboard/fail/{fault}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert f">{status}</p>" in answer.content.decode()
    assert "secret" not in answer.content.decode()


@failing
@pytest.mark.parametrize(
    ("fault", "status", "code", "fields"),
    [
        ("conflict", 409, "conflict", {"name": ["taken"]}),
        ("invalid", 400, "invalid", {"payload.url": ["Expected a URL."]}),
        ("model", 400, "invalid", {"name": ["Too long.", "Too odd."]}),
        ("model-flat", 400, "invalid", {"body": ["Contradictory."]}),
        ("nested", 400, "invalid", {"a.b": ["x"], "items.1.c": ["y", "z"], "body": ["n"]}),
        ("flat", 400, "invalid", {"body": ["whole"]}),
    ],
)
def test_fields(visitor: Client, fault: str, status: int, code: str, fields: dict[str, list[str]]) -> None:
    assert error_of(visitor.get(f"/api/fail/{fault}")) == (status, code, fields)


@failing
def test_the_message_names_the_first_field(visitor: Client) -> None:
    message = visitor.get("/api/fail/nested").json()["error"]["message"]
    assert message == "a.b: x (3 more in `fields`.)"


@failing
def test_quoted_input_is_cut_and_can_be_encoded(visitor: Client) -> None:
    status, code, fields = error_of(visitor.get("/api/fail/quoting"))
    assert (status, code, list(fields)) == (400, "invalid", ["?"])
    assert len(fields["?"][0]) == 500


@failing
@pytest.mark.parametrize(
    ("fault", "seconds"),
    [("throttled", "8"), ("our-limit", "9"), ("ratelimited", "60"), ("operational", "2"), ("pool", "2")],
)
def test_retry_after(visitor: Client, fault: str, seconds: str) -> None:
    assert visitor.get(f"/api/fail/{fault}").headers["Retry-After"] == seconds


@failing
def test_pages_say_when_to_come_back(visitor: Client) -> None:
    assert visitor.get("/dashboard/fail/operational").headers["Retry-After"] == "2"
    assert visitor.get("/dashboard/fail/our-limit").headers["Retry-After"] == "9"


@failing
def test_method_not_allowed(visitor: Client) -> None:
    answer = visitor.delete("/api/fail/bug")
    assert error_of(answer) == (405, "method_not_allowed", {})
    assert "GET" in answer.headers["Allow"]


@failing
def test_not_acceptable(visitor: Client) -> None:
    assert error_of(visitor.get("/api/fail/bug", headers={"Accept": "text/csv"}))[:2] == (
        406,
        "not_acceptable",
    )


@failing
@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"],
)
def test_wrong_content_type(visitor: Client, content_type: str) -> None:
    answer = visitor.post("/api/fail/bug", "a=1", content_type=content_type)
    assert error_of(answer) == (415, "unsupported_media_type", {})


@failing
@pytest.mark.parametrize(
    "body",
    [
        b"{", b" ", b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": 1e999}', b"\xff\xfe", b"'", b"[" * 100_000,
        b'{"a":' * 100_000, b"9" * 10_000, b'{"a": "\n"}', b"\xef\xbb\xbf{}",
    ],
)  # fmt: skip
def test_a_body_that_is_not_json(visitor: Client, body: bytes) -> None:
    answer = visitor.post("/api/fail/bug", body, content_type="application/json")
    assert error_of(answer) == (400, "parse_error", {})


@failing
@pytest.mark.parametrize("charset", ["utf-16", "bz2_codec"])
def test_a_body_in_another_charset_than_it_says(visitor: Client, charset: str) -> None:
    answer = visitor.generic(
        "POST", "/api/fail/bug", b"{}", content_type=f"application/json; charset={charset}"
    )
    assert error_of(answer) == (400, "parse_error", {})


@failing
def test_json_is_read_as_it_is(visitor: Client) -> None:
    value = {"a": [1, 2.5, -1e300, None, True, "é\U0001f600"], "b": {"c": {}}}
    answer = visitor.post("/api/fail/bug", json.dumps(value), content_type="application/json")
    assert answer.json() == value


@failing
def test_a_body_that_is_too_large(visitor: Client) -> None:
    body = b'"' + b"x" * (2 * 1024 * 1024) + b'"'
    answer = visitor.post("/api/fail/bug", body, content_type="application/json")
    assert error_of(answer) == (413, "too_large", {})
    assert "at most 2097152 bytes" in answer.json()["error"]["message"]


@failing
@pytest.mark.asyncio
async def test_a_body_without_a_length_is_refused() -> None:
    headers = [
        (b"host", b"localhost"),
        (b"content-type", b"application/json"),
        (b"transfer-encoding", b"chunked"),
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/fail/bug",
        "query_string": b"",
        "headers": headers,
    }
    communicator = ApplicationCommunicator(asgi.application, scope)
    await communicator.send_input({"type": "http.request", "body": b'{"a":', "more_body": True})
    await communicator.send_input({"type": "http.request", "body": b" 1}"})
    assert (await communicator.receive_output(10))["status"] == 411
    body = json.loads((await communicator.receive_output(10))["body"])
    assert body["error"]["code"] == "length_required"
    await communicator.wait(10)


@failing
@pytest.mark.parametrize("fault", ["denied", "bad-request"])
def test_what_was_expected_is_logged_in_one_line(
    visitor: Client, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    visitor.get(f"/dashboard/fail/{fault}")
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)]


@failing
@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/api/with", "use /api/with/ instead"),
        ("/api/without/", "use /api/without instead"),
        ("/api/no/such/path", "nothing here"),
        ("/api/no/such/path/", "nothing here"),
        ("/plain/http404", "nothing here"),
    ],
)
@pytest.mark.parametrize("method", ["get", "put"])
def test_unknown_paths_of_the_api(visitor: Client, path: str, hint: str, method: str) -> None:
    answer = getattr(visitor, method)(path)
    assert error_of(answer)[:2] == (404, "not_found")
    assert hint in answer.json()["error"]["message"]


@failing
def test_people_are_led_to_the_path_with_the_slash(visitor: Client) -> None:
    answer = visitor.get("/dashboard/with?a=1")
    assert (answer.status_code, answer.headers.get("Location")) == (301, "/dashboard/with/?a=1")


@failing
@pytest.mark.parametrize("prefix", ["/api/fail/bug", "/dashboard/with/"])
@pytest.mark.parametrize("form", ["{}?a=%00", "{}?a%00=1", "{}%00"])
def test_nul_is_refused(visitor: Client, prefix: str, form: str) -> None:
    answer = visitor.get(form.format(prefix))
    assert answer.status_code == 400
    assert "NUL" in answer.content.decode()


@failing
def test_nul_in_a_quoted_cookie_is_refused(visitor: Client) -> None:
    answer = visitor.get(
        "/api/without", headers={"Cookie": 'sessionid="\\000\\000\\000\\000\\000\\000\\000\\000"'}
    )
    assert error_of(answer)[:2] == (400, "bad_request")


@failing
def test_another_host_is_refused_without_a_hint(visitor: Client) -> None:
    answer = visitor.get("/api/without", headers={"Host": "evil.example.org"})
    assert error_of(answer)[:2] == (400, "bad_request")
    assert "evil" not in answer.content.decode()


def test_a_form_without_csrf_token_gets_a_page(db: None) -> None:
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "a", "password": "b"})
    assert answer.status_code == 403
    assert "reload the page" in answer.content.decode()


@pytest.mark.parametrize(("fault", "status"), [(OperationalError(), 503), (KeyError(), 500)])
def test_a_fault_outside_of_any_view(rf: RequestFactory, fault: Exception, status: int) -> None:
    """In middleware no handler but the last one sees it."""
    try:
        raise fault
    except type(fault):
        assert handler500(rf.get("/orgs/me")).status_code == status


@pytest.mark.parametrize(
    ("detail", "flat"),
    [
        ([], {}),
        ({}, {}),
        ({"a": []}, {}),
        ({"a": {"non_field_errors": ["x"]}}, {"a": ["x"]}),
        ({"a": [["x"], ["y"]]}, {"a.0": ["x"], "a.1": ["y"]}),
        (["x", "y"], {"body": ["x", "y"]}),
    ],
)
def test_flatten(detail: Any, flat: dict[str, list[str]]) -> None:
    assert flatten(detail) == flat


ASK_WITHOUT_DATABASE = """
import json, django
django.setup()
from django.test import Client
from orgs import tokens
from orgs.models import User
client = Client(raise_request_exception=False)
token = {"Authorization": "Bearer " + tokens.issue_access_token(User(pk=1))}
answers = [
    client.get("/orgs/me", headers=token),
    client.post("/auth/login", {"username": "a", "password": "b"}, content_type="application/json"),
    client.get("/admin/", headers={"Cookie": "sessionid=" + "a" * 32}),
]
for answer in answers:
    kind = answer.headers["Content-Type"].split(";")[0]
    print(json.dumps([answer.status_code, kind, answer.headers.get("Retry-After"), answer.content.decode()]))
"""


def test_with_the_database_away_everything_answers_503() -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "SMARTQUEUE_DATABASE_DIRECT_URL": "",
        "SMARTQUEUE_DB_POOL_TIMEOUT_S": "0.2",
        "SMARTQUEUE_ALLOWED_HOSTS": "testserver",
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK_WITHOUT_DATABASE],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    me, login, admin = (json.loads(line) for line in done.stdout.splitlines())
    for status, kind, retry_after, content in (me, login):
        assert (status, kind, retry_after) == (503, "application/json", "2")
        assert json.loads(content)["error"]["code"] == "database_unavailable"
    assert admin[:3] == [503, "text/html", "2"]
