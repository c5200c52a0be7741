"""HTML and SVG as strings that cannot be mixed up with plain text: whatever is not Html is escaped."""

from __future__ import annotations

import html
import re

_VOID = {"meta"}
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Html(str):
    """Markup that is ready to be put into a page."""

    __slots__ = ()


def text(value: str) -> Html:
    """Plain text as markup; what no page may hold is shown as a replacement character."""
    return (
        value
        if isinstance(value, Html)
        else Html(html.escape(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", value)))
    )


def el(tag: str, *children: str, **attributes: str | float) -> Html:
    """An element: `class_` is the attribute class, `stroke_width` is stroke-width, floats have one decimal."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_value(value)}"' for name, value in attributes.items()
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(*children)}</{tag}>")


def join(*parts: str) -> Html:
    return Html("".join(map(text, parts)))


def _value(value: str | float) -> str:
    return text(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")
