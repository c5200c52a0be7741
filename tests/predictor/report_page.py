"""A report as a tree: what it says in which element, read by the parser of the standard library."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from predictor.report import Judged

VOID = {"meta"}
HOUR = 1_767_225_600.0  # the start of an hour, 1 Jan 2026 00:00 UTC


@dataclass
class Node:
    tag: str
    attributes: dict[str, str]
    children: list[Node | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, tag: str, class_: str = "") -> Iterator[Node]:
        for child in self.children:
            if isinstance(child, Node):
                if child.tag == tag and class_ in ("", *child.attributes.get("class", "").split()):
                    yield child
                yield from child.all(tag, class_)

    def one(self, name: str) -> Node:
        (found,) = (node for node in self.every() if node.attributes.get("id") == name)
        return found

    def every(self) -> Iterator[Node]:
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.every()

    def rows(self) -> list[list[str]]:
        """The cells of a table, by row, its heads left out."""
        (body,) = self.all("tbody")
        cells = ([cell for cell in row.children if isinstance(cell, Node)] for row in body.all("tr"))
        return [[cell.text for cell in row] for row in cells]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Node("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(page: str) -> Node:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    (root,) = reader.open
    return root


def judged(**changed: Any) -> Judged:
    """A run of one second, of which one second was predicted, with changes."""
    of = {"at": HOUR, "org_id": 1, "job_type": "http", "actual_ms": 1000.0, "predicted_ms": 1000.0}
    more = {"low_ms": 500.0, "high_ms": 2000.0, "baseline_ms": 1000.0, "champion_ms": None, "censored": False}
    return Judged(**{**of, **more, **changed})
