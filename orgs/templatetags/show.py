"""Template filters and tags of the dashboard: `{% load show %}`."""

from __future__ import annotations

from datetime import UTC, datetime

from django import template
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from orgs import see_as, wording
from orgs.models import Organization, User

register = template.Library()

register.filter("duration", wording.duration)
register.filter("percent", wording.percent)
register.filter("role_name", wording.role_name)


@register.filter
def may(user: User | AnonymousUser, action: str) -> bool:
    """`{% if user|may:"jobs.submit" %}`"""
    return isinstance(user, User) and user.may(action)


@register.simple_tag
def seen_as(user: User | AnonymousUser) -> Organization | None:
    """The organisation that a platform admin looks at: see `orgs.see_as`."""
    return see_as.seen_as(user)


@register.filter
def grid_cell(value: object) -> SafeString:
    """A <td> for one plain value of a result: numbers to the right, floats at a readable length."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return format_html("<td>{}</td>", wording.NOTHING if value is None else value)
    return format_html('<td class="number">{}</td>', f"{value:.6g}" if isinstance(value, float) else value)


@register.simple_tag
def ago(moment: datetime | None) -> SafeString | str:
    """A <time> element: the age, or how long it still is, in words; the exact time as its title."""
    if moment is None:
        return wording.NOTHING
    seconds = (timezone.now() - moment).total_seconds()
    return _time(moment, wording.age(seconds) if seconds >= 0 else wording.until(-seconds))


@register.simple_tag
def clock(moment: datetime | None) -> SafeString | str:
    """A <time> element with date and time in UTC, to the second."""
    return wording.NOTHING if moment is None else _time(moment, f"{moment.astimezone(UTC):%d %b %H:%M:%S}")


def _time(moment: datetime, words: str) -> SafeString:
    moment = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(timespec="seconds"),
        f"{moment:%d %B %Y, %H:%M:%S} UTC",
        words,
    )
