"""Answers each request with the Content-Security-Policy and the Permissions-Policy of smartqueue.browser_settings."""

from __future__ import annotations

from csp.constants import UNSAFE_INLINE
from csp.middleware import CSPMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

# The theme of the admin has its colours in a <style>, and widths in attributes; Swagger UI, too.
_MORE = {
    "/admin/": {"style-src": [UNSAFE_INLINE]},
    "/docs": {"style-src": [UNSAFE_INLINE]},
}


class BrowserPolicyMiddleware(CSPMiddleware):
    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        for prefix, more in _MORE.items():
            if request.path_info.startswith(prefix):
                response._csp_update = more  # type: ignore[attr-defined]
        response["Permissions-Policy"] = settings.PERMISSIONS_POLICY
        return super().process_response(request, response)
