"""What browsers are told: HTTPS, cookies, where scripts may come from, which other sites may call the API.

Imported by `settings`. smartqueue.browser_policy sends the policies that Django has no settings for.
"""

from __future__ import annotations

import re

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from smartqueue.env import env_bool, env_int, env_list

HTTPS = env_bool("SMARTQUEUE_HTTPS", False, "Secure cookies, HSTS and redirects to https.")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_HTTPONLY = True
SECURE_HSTS_SECONDS = env_int(
    "SMARTQUEUE_HSTS_S",
    31_536_000,
    "Seconds for which browsers use nothing but https for this host, with SMARTQUEUE_HTTPS; 0: do not tell them.",
    low=0,
    high=63_072_000,
)
SECURE_HSTS_SECONDS *= HTTPS
# The host is one of a domain that has others, and a domain on the preload list comes off it only after months:
# both are for the owner of the domain to decide.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env_bool(
    "SMARTQUEUE_HSTS_SUBDOMAINS", False, "HSTS holds for all hosts under this one, too."
)
SECURE_HSTS_PRELOAD = env_bool(
    "SMARTQUEUE_HSTS_PRELOAD",
    False,
    "Browsers may put the host on their lists of hosts that only speak https.",
)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# W005 and W021 want the two settings above, whoever owns the domain.
SECURITY_CHECKS_SILENCED = ["security.W005", "security.W021"]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
PERMISSIONS_POLICY = ", ".join(
    f"{feature}=()"
    for feature in ("camera", "display-capture", "geolocation", "microphone", "payment", "serial", "usb")
)

CORS_ALLOWED_ORIGINS = env_list(
    "SMARTQUEUE_CORS_ORIGINS",
    "",
    "Other sites whose pages may call the API with a token, as in https://tools.example.org.",
)
for _origin in CORS_ALLOWED_ORIGINS:
    if not re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?", _origin):
        raise ImproperlyConfigured(
            f"SMARTQUEUE_CORS_ORIGINS: {_origin!r}; expected scheme and host in small letters, without a path, "
            "as in https://tools.example.org."
        )
# What people open in a browser is nobody else's; cookies are never taken from there.
CORS_URLS_REGEX = r"^/(?!(admin|dashboard|docs|live|static|metrics)(/|$))"
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CORS_ALLOW_HEADERS = ("authorization", "content-type", "idempotency-key", "x-request-id")
CORS_EXPOSE_HEADERS = ("X-Request-ID", "Retry-After", "Location")
