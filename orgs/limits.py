"""Rate limits by django-ratelimit, counted in the shared cache: one count for all web processes.

The limiter's windows are fixed: a rate of 5/m is at most 5 between two edges, which differ by client. The doors before
login count each request by client address (`count_request`). Requests to the API are counted by user and organisation
in `orgs.api_limits`.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django_ratelimit.core import get_usage

from orgs.client_address import client_address
from orgs.exceptions import RateLimited

# All that come by a socket of the file system, without a proxy that tells who they are, count as one.
NOWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound to it


def count_request(request: HttpRequest, *, group: str, rate: str) -> None:
    """Count one request of this client address in `group`; raises RateLimited when `rate` is used up.

    `rate` is number/period as in "5/m". Call it outside of a transaction, before the work it guards. IPv6 clients
    are counted by /64 network.
    """
    usage = get_usage(request, group=group, key="ip", rate=rate, increment=True)
    if usage is not None and usage["should_limit"]:
        raise RateLimited(retry_after_s=max(1, usage["time_left"]))


def address_of(request: HttpRequest) -> str | None:
    """The client's address behind settings.TRUSTED_PROXIES; None where nothing tells it."""
    # Django joins headers of one name by commas.
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return client_address(request.META.get("REMOTE_ADDR", ""), forwarded, settings.TRUSTED_PROXIES)


def counted_address(request: HttpRequest) -> str:
    """For settings.RATELIMIT_IP_META_KEY."""
    return address_of(request) or NOWHERE
