"""`http` jobs: one request, its answer judged by its status code.

Redirects are not followed: a callback that moved should be corrected, and a POST must not turn into a
GET. Every attempt carries the same Idempotency-Key, so that a receiver can do its work once.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from jobs.executors import jsonvalue
from jobs.executors.base import MAX_DELAY_S, JobError, JobSpec, PermanentError, say
from jobs.executors.payload import checked
from jobs.payloads import HttpPayload

KEPT_BODY_BYTES = 64 * 1024
KEPT_HEADERS = (
    "content-type",
    "content-length",
    "date",
    "etag",
    "last-modified",
    "location",
    "retry-after",
    "server",
)

# Made once and inherited by forks: loading the certificates takes longer than most requests.
_TLS = httpx.create_ssl_context()
_TRY_AGAIN = {408, 425, 429}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def execute(spec: JobSpec) -> dict[str, Any]:
    """Send the request; {"status", "headers", "elapsed_ms", "truncated", "json" or "body"}."""
    payload = checked(HttpPayload, spec.payload)
    started = time.perf_counter()
    with (
        connection_errors(payload.url),
        client(payload.timeout_s) as http,
        http.stream(
            payload.method, payload.url, headers=_headers(spec, payload), content=_body(payload)
        ) as response,
    ):
        content, truncated = _read(response, started + payload.timeout_s)
    elapsed_ms = round((time.perf_counter() - started) * 1000, 1)
    say(f"{payload.method} {payload.url}: {response.status_code} {response.reason_phrase}, {elapsed_ms:g} ms")
    if not payload.expects(response.status_code):
        raise status_error(response)
    return {
        "status": response.status_code,
        "headers": {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers},
        "elapsed_ms": elapsed_ms,
        "truncated": truncated,
        **_kept(response, content, truncated),
    }


def client(timeout_s: float, *, follow_redirects: bool = False) -> httpx.Client:
    return httpx.Client(
        verify=_TLS,
        timeout=timeout_s,
        follow_redirects=follow_redirects,
        headers={"User-Agent": "SmartQueue"},
    )


@contextmanager
def connection_errors(url: str) -> Iterator[None]:
    """Turn what goes wrong between here and the server into JobError or PermanentError."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise JobError(f"{url} did not answer in time ({type(error).__name__}).") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects, UnicodeError) as error:
        raise PermanentError(f"{url} cannot be requested: {error}") from error
    except httpx.HTTPError as error:
        raise JobError(f"The request to {url} failed: {type(error).__name__}: {error}") from error


def status_error(response: httpx.Response) -> JobError:
    """The error for an answer that is no success: permanent for 3xx and for most of 4xx."""
    status = response.status_code
    message = f"{response.request.url} answered {status} {response.reason_phrase}."
    if status in _TRY_AGAIN or status >= 500:
        return JobError(message, retry_after_s=_retry_after(response.headers.get("retry-after", "")))
    if response.has_redirect_location:
        message += f" Redirects are not followed; this one leads to {response.headers['location'][:500]}."
    return PermanentError(message)


def _headers(spec: JobSpec, payload: HttpPayload) -> httpx.Headers:
    headers = httpx.Headers({"Idempotency-Key": spec.idempotency_id})
    if "json_body" in payload.model_fields_set:
        headers["Content-Type"] = "application/json"
    headers.update(payload.headers)
    return headers


def _body(payload: HttpPayload) -> bytes | None:
    if "json_body" in payload.model_fields_set:
        return json.dumps(payload.json_body, ensure_ascii=False, separators=(",", ":")).encode()
    return None if payload.body is None else payload.body.encode()


def _read(response: httpx.Response, deadline: float) -> tuple[bytes, bool]:
    """The first part of the body, and whether there is more of it."""
    content = b""
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > KEPT_BODY_BYTES:
            return content[:KEPT_BODY_BYTES], True
        if time.perf_counter() > deadline:
            raise JobError(f"{response.request.url} did not send its whole answer in time.")
    return content, False


def _kept(response: httpx.Response, content: bytes, truncated: bool) -> dict[str, Any]:
    if not truncated and "json" in response.headers.get("content-type", ""):
        try:
            value = json.loads(content)
            # Inside of the result it is one level deeper and shares the space with the other fields.
            if jsonvalue.check([value]) < jsonvalue.MAX_BYTES * 3 // 4:
                return {"json": value}
        except (ValueError, RecursionError):
            pass
    return {"body": _text(response, content)}


def _text(response: httpx.Response, content: bytes) -> str:
    try:
        text = content.decode(response.charset_encoding or "utf-8", errors="replace")
    except LookupError:
        text = content.decode("utf-8", errors="replace")
    # In JSON a control character takes six bytes: without them 64 KiB of anything fit into a result.
    return jsonvalue.clean_text(_CONTROL.sub("\ufffd", text))


def _retry_after(value: str) -> float | None:
    """Seconds to wait, from either form of the header; None when it says nothing usable."""
    if value.strip().isdecimal():
        return min(float(value), MAX_DELAY_S)
    try:
        wait = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None
    return min(max(wait, 0.0), MAX_DELAY_S)
