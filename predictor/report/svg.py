"""The parts that every plot shares: the figure with its title and text alternative, frame, lines and markers.

The first types of a report have a shape and a colour each, the rest shares the last ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from predictor.report.markup import Html, el, join, text
from predictor.report.scales import Axis

WIDTH = 720
EDGE = 12
SHAPES = (
    "M0-3.6L3.6 0 0 3.6-3.6 0Z",
    "M-3.1 0A3.1 3.1 0 1 1 3.1 0A3.1 3.1 0 1 1-3.1 0Z",
    "M0-3.8L3.6 2.7H-3.6Z",
    "M0 3.8L3.6-2.7H-3.6Z",
    "M-2.8-2.8H2.8V2.8H-2.8Z",
    "M-1.2-3.6H1.2V-1.2H3.6V1.2H1.2V3.6H-1.2V1.2H-3.6V-1.2H-1.2Z",
)
Points = Sequence[tuple[float, float]]


def figure(name: str, height: float, title: str, description: str, *parts: str) -> Html:
    """An SVG of WIDTH by `height`, read out as its title and description."""
    return el(
        "svg",
        el("title", title, id=f"{name}-title"),
        el("desc", description, id=f"{name}-desc"),
        *parts,
        id=name,
        viewBox=f"0 0 {WIDTH} {height:.0f}",
        width=WIDTH,
        height=height,
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def label(x: float, y: float, words: str, class_: str = "tick", anchor: str = "start") -> Html:
    return el("text", words, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    return el("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_, stroke="currentColor")


def path(points: Points, class_: str) -> Html:
    drawn = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return el("path", d=drawn, class_=class_, fill="none", stroke="currentColor")


def marker(x: float, y: float, shape: int, class_: str) -> Html:
    return el("path", d=SHAPES[shape], transform=f"translate({x:.1f} {y:.1f})", class_=class_)


def frame(x: Axis, y: Axis, *, x_title: str = "", y_title: str = "") -> Html:
    """Grid lines, tick labels and the titles of both axes; `y` runs upwards, from its start to its end."""
    across = (
        join(line(x.start, y(at), x.end, y(at), "grid"), label(x.start - 7, y(at) + 4, words, anchor="end"))
        for at, words in y.ticks
    )
    up = (
        join(
            line(x(at), y.start, x(at), y.end, "grid"),
            label(x(at), y.start + 17, words, anchor=_anchor(x, at)),
        )
        for at, words in x.ticks
    )
    border = line(x.start, y.start, x.end, y.start, "axis"), line(x.start, y.start, x.start, y.end, "axis")
    titles = []
    if x_title:
        titles.append(label((x.start + x.end) / 2, y.start + 38, x_title, "title", "middle"))
    if y_title:
        titles.append(label(x.start, y.end - 10, y_title, "title"))
    return join(*across, *up, *border, *titles)


def _anchor(x: Axis, at: float) -> str:
    """Labels at the ends of an axis stay within it, where another plot may stand beside."""
    if x(at) < x.start + EDGE:
        return "start"
    return "end" if x(at) > x.end - EDGE else "middle"


def legend(x: float, y: float, entries: Iterable[tuple[str, str]], step: float = 20) -> Html:
    """Samples, each drawn around its own origin, one under the other with their words."""
    rows = (
        el("g", sample, label(14, 4, words, "key"), transform=f"translate({x:.1f} {y + step * n:.1f})")
        for n, (sample, words) in enumerate(entries)
    )
    return join(*rows)


def shorten(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


def nothing(words: str) -> Html:
    """What stands in the place of a plot that has nothing to show."""
    return el("p", text(words), class_="nothing")
