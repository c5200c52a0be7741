"""Rate limits by django-ratelimit, counted in the shared cache: one count for all web processes.

The limiter's windows are fixed: a rate of 5/m is at most 5 between two edges, which differ by client.
`REMOTE_ADDR` is the client's address; IPv6 clients are counted by /64 network.
"""

from __future__ import annotations

from django.http import HttpRequest
from django_ratelimit.core import get_usage

from orgs.exceptions import RateLimited


def count_request(request: HttpRequest, *, group: str, rate: str) -> None:
    """Count one request of this client address in `group`; raises RateLimited when `rate` is used up.

    `rate` is number/period as in "5/m". Call it outside of a transaction, before the work it guards.
    """
    usage = get_usage(request, group=group, key="ip", rate=rate, increment=True)
    if usage is not None and usage["should_limit"]:
        raise RateLimited(retry_after_s=max(1, usage["time_left"]))
