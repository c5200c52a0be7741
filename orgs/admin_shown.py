"""How the admin shows what its lists have in common: moments, states as badges, links. Words as on the dashboard."""

from __future__ import annotations

from datetime import UTC, datetime

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orgs import wording


def moment(at: datetime | None) -> str:
    """Date and time in UTC, on one line; a dash for None."""
    if at is None:
        return wording.NOTHING
    return f"{at.astimezone(UTC):%d %b %Y %H:%M:%S}".replace(" ", "\N{NO-BREAK SPACE}")


def state(text: str, colours: str = "") -> SafeString:
    """A badge in the colours of state `colours`, which is `text` unless it says otherwise."""
    return format_html('<span class="sq-badge sq-{}">{}</span>', colours or text, text)


def link(address: str, text: object) -> SafeString:
    return format_html('<a class="sq-link" href="{}">{}</a>', address, text)


def admin_link(name: str, text: object, *args: object, query: str = "") -> SafeString:
    """A link to a page of the admin: `name` is that of its URL without the prefix."""
    return link(reverse(f"admin:{name}", args=args) + query, text)
