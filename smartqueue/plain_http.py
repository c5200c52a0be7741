"""Plain HTTP requests on the ASGI level: which ones are plain, their body, and what Django would do around them.

For smartqueue.quick_submit, which answers some requests without Django's handler, in the same form.
"""

from __future__ import annotations

from typing import Any

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port, validate_host
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.urls import resolve
from django_prometheus.middleware import Metrics

from smartqueue.browser_policy import BrowserPolicyMiddleware

LARGEST_BODY = 8 * 1024  # bytes; a larger one would keep the event loop from other requests for too long

_READ = (
    b"host",
    b"authorization",
    b"content-type",
    b"content-length",
    b"accept",
    b"idempotency-key",
    b"x-forwarded-proto",
    b"x-request-id",
)
# Somebody looks at these: sessions, parsers, the server.
_UNUSUAL = frozenset(
    (b"transfer-encoding", b"content-encoding", b"cookie", b"expect", b"x-requested-with", b"origin")
)
_ACCEPTED = frozenset((b"", b"*/*", b"application/json"))
_JSON = frozenset(
    (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")
)

Headers = dict[bytes, bytes]


def plain_headers(scope: Any) -> Headers | None:
    """The headers of a small JSON request to this host, empty where not sent; None if there is more to it."""
    if scope["query_string"] or scope.get("root_path"):
        return None
    found = dict.fromkeys(_READ, b"")
    for name, value in scope["headers"]:
        if name in _UNUSUAL or found.get(name):
            return None
        if name in found:
            if not value:
                return None
            found[name] = value
    return found if _is_plain(found, scope.get("scheme", "http")) else None


def _is_plain(headers: Headers, scheme: str) -> bool:
    length = headers[b"content-length"]
    if not (length.isdigit() and len(length) < 7 and 0 < int(length) <= LARGEST_BODY):
        return False
    if headers[b"content-type"].lower() not in _JSON or headers[b"accept"] not in _ACCEPTED:
        return False
    if settings.HTTPS and headers[b"x-forwarded-proto"] != b"https":
        return False
    if not settings.HTTPS and scheme != "http":
        return False
    domain, _ = split_domain_port(headers[b"host"].decode("latin-1"))
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)


async def whole_body(receive: Any) -> bytes | None:
    """None when the client has gone."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def replayed(body: bytes, receive: Any) -> Any:
    """A `receive` that begins with a body which was read."""
    told = False

    async def begin_again() -> Any:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return begin_again


def headers_of_view(path: str) -> list[tuple[bytes, bytes]]:
    """Those that a JSON view and the middleware give each answer under these settings."""
    request = HttpRequest()
    request.path = request.path_info = path
    if settings.SECURE_PROXY_SSL_HEADER:
        name, value = settings.SECURE_PROXY_SSL_HEADER
        request.META[name] = value
    view = resolve(path).func.cls()  # type: ignore[attr-defined]
    view.setup(request)
    answer = HttpResponse(content_type="application/json", headers={"Allow": ", ".join(view.allowed_methods)})
    XFrameOptionsMiddleware(lambda _: answer)(request)
    if settings.CORS_ALLOWED_ORIGINS:
        CorsMiddleware(lambda _: answer)(request)
    BrowserPolicyMiddleware(lambda _: answer)(request)
    SecurityMiddleware(lambda _: answer)(request)
    return [(name.encode(), value.encode()) for name, value in answer.items()]


class Counters:
    """What the middleware of django-prometheus counts of a POST, for an answer that never meets it."""

    def __init__(self, path: str) -> None:
        self._metrics = metrics = Metrics.get_instance()
        self._labels = labels = {"view": resolve(path).view_name, "method": "POST"}
        transport = "https" if settings.HTTPS else "http"
        self._each = [
            metrics.requests_total,
            metrics.responses_total,
            metrics.requests_by_method.labels(method="POST"),
            metrics.requests_by_transport.labels(transport=transport),
            metrics.requests_by_view_transport_method.labels(transport=transport, **labels),
            metrics.responses_by_charset.labels(charset="utf-8"),
            metrics.responses_by_templatename.labels(templatename="None"),
        ]
        self._seconds = [
            metrics.requests_latency_before,
            metrics.requests_latency_by_view_method.labels(**labels),
        ]

    def __call__(self, status: int, asked: int, answered: int, seconds: float) -> None:
        """`asked` and `answered` are the sizes of the bodies in bytes."""
        for counter in self._each:
            counter.inc()
        for histogram in self._seconds:
            histogram.observe(seconds)
        self._metrics.requests_body_bytes.observe(asked)
        self._metrics.responses_body_bytes.observe(answered)
        self._metrics.responses_by_status.labels(status=str(status)).inc()
        self._metrics.responses_by_status_view_method.labels(status=str(status), **self._labels).inc()
