from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from jobs.executors import http, jsonvalue
from jobs.executors.base import JobError, PermanentError
from tests.executors.conftest import Runner, make_spec
from tests.executors.receiver import Receiver


def call(url: str, **payload: Any) -> dict[str, Any]:
    return http.execute(make_spec("http", {"url": url, **payload}))


def fail(url: str, **payload: Any) -> JobError:
    with pytest.raises(JobError) as raised:
        call(url, **payload)
    return raised.value


def test_a_json_answer(web: Receiver) -> None:
    result = call(web.give("/ok", body={"a": [1]}, Set_Cookie="secret=1", ETag="x"))
    assert (result["status"], result["json"], result["truncated"]) == (200, {"a": [1]}, False)
    assert result["elapsed_ms"] > 0
    assert result["headers"]["etag"] == "x"
    assert "set-cookie" not in result["headers"]
    assert "body" not in result


def test_what_is_sent(web: Receiver) -> None:
    url = web.give("/hook")
    call(url + "?q=1", method="POST", json={"a": 1}, headers={"X-Token": "t"})
    call(url, method="PUT", body="é")
    call(url, headers={"idempotency-key": "mine"})
    first, second, third = web.asked
    assert (first.method, first.path, first.body) == ("POST", "/hook?q=1", b'{"a":1}')
    assert first.headers["content-type"] == "application/json"
    assert (first.headers["x-token"], first.headers["idempotency-key"]) == ("t", "idem-7")
    assert first.headers["user-agent"] == "SmartQueue"
    assert (second.method, second.body) == ("PUT", "é".encode())
    assert (third.method, third.body, third.headers["idempotency-key"]) == ("GET", b"", "mine")


def test_json_null_is_sent_as_a_body(web: Receiver) -> None:
    call(web.give("/hook"), method="POST", json=None)
    assert web.asked[0].body == b"null"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_works(web: Receiver, method: str) -> None:
    assert call(web.give("/any"), method=method)["status"] == 200
    assert web.asked[0].method == method


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_a_client_error_is_permanent(web: Receiver, status: int) -> None:
    error = fail(web.give("/no", status))
    assert isinstance(error, PermanentError)
    assert str(status) in str(error)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_an_error_that_may_pass_is_retried(web: Receiver, status: int) -> None:
    error = fail(web.give("/later", status))
    assert error.retryable
    assert error.retry_after_s is None


def test_redirects_are_not_followed(web: Receiver) -> None:
    error = fail(web.give("/moved", 302, Location="/ok"))
    assert isinstance(error, PermanentError)
    assert "leads to /ok" in str(error)
    assert len(web.asked) == 1


@pytest.mark.parametrize(("expected", "status"), [(404, 404), ([200, 503], 503), (302, 302)])
def test_expected_statuses_are_successes(web: Receiver, expected: Any, status: int) -> None:
    assert call(web.give("/x", status), expect_status=expected)["status"] == status


def test_an_unexpected_success_is_a_failure(web: Receiver) -> None:
    assert isinstance(fail(web.give("/x", 200), expect_status=204), PermanentError)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("999999999", 86_400.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
    ],
)
def test_retry_after_in_seconds(web: Receiver, header: str, seconds: float | None) -> None:
    assert fail(web.give("/busy", 503, Retry_After=header)).retry_after_s == seconds


def test_retry_after_as_a_date(web: Receiver) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=10)
    wait = fail(web.give("/busy", 429, Retry_After=format_datetime(soon, usegmt=True))).retry_after_s
    assert wait is not None
    assert 500 < wait <= 600
    past = format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True)
    assert fail(web.give("/busy", 429, Retry_After=past)).retry_after_s == 0
    assert fail(web.give("/busy", 429, Retry_After="Wed, 21 Oct 2037 07:28:00")).retry_after_s is None


def test_a_large_answer_is_cut(web: Receiver) -> None:
    result = call(web.give("/big", body=b"x" * 1_000_000, Content_Type="text/plain"))
    assert result["truncated"] is True
    assert result["body"] == "x" * http.KEPT_BODY_BYTES


@pytest.mark.parametrize(
    "body",
    [
        b"{broken",
        b'{"a": "\\u0000"}',
        b"[" * 60 + b"]" * 60,
        b"[" * 30_000,
        b'{"a": NaN}',
        b"[1e999]",
        b'"\\ud800"',
    ],
)
def test_json_that_cannot_be_stored_is_kept_as_text(web: Receiver, body: bytes) -> None:
    result = call(web.give("/odd", body=body, Content_Type="application/json"))
    assert result["body"] == body.decode()
    jsonvalue.check(result)


@pytest.mark.parametrize(
    "body", [bytes(range(256)) * 256, b"\x01" * 65_536, b"\xff" * 65_536, b"\x00" * 70_000]
)
def test_any_bytes_make_a_result_that_fits(web: Receiver, body: bytes) -> None:
    assert jsonvalue.check(call(web.give("/bytes", body=body))) > 0


def test_numbers_that_grow_when_written_again_still_fit(web: Receiver) -> None:
    body = b"[" + b"1e15," * 13_000 + b"1]"
    assert jsonvalue.check(call(web.give("/grow", body=body, Content_Type="application/json"))) > 0


def test_other_character_sets_are_read(web: Receiver) -> None:
    latin = call(web.give("/latin", body="é".encode("latin-1"), Content_Type="text/plain; charset=latin-1"))
    assert latin["body"] == "é"
    assert call(web.give("/odd", body=b"a", Content_Type="text/plain; charset=nonsense"))["body"] == "a"


def test_no_connection_is_retried() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = fail(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert error.retryable
    assert "ConnectError" in str(error)


def test_no_answer_in_time_is_retried(web: Receiver) -> None:
    web.give("/hang")
    web.answers["/hang"].hang = True
    error = fail(web.url + "/hang", timeout_s=0.3)
    assert error.retryable
    assert "did not answer in time" in str(error)


@pytest.mark.parametrize("url", ["http://xn--a.example/", "http://a..b/"])
def test_an_address_that_makes_no_request_is_permanent(url: str) -> None:
    assert isinstance(fail(url), PermanentError)


@pytest.mark.asyncio
async def test_in_a_process_of_its_own(web: Receiver, runner: Runner) -> None:
    outcome = await runner.run("http", {"url": web.give("/ok", body={"up": True})})
    assert (outcome.status, outcome.result["json"]) == ("done", {"up": True})
    assert f"GET {web.url}/ok: 200 OK" in runner.text()
    outcome = await runner.run("http", {"url": web.give("/busy", 503, Retry_After="9")})
    assert (outcome.status, outcome.retryable, outcome.retry_after_s) == ("failed", True, 9.0)
