"""A job's result as a page shows it: small tables where the shape is simple, and always the JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_ROWS = 20
MOST_COLUMNS = 12
LONGEST_JSON = 20_000


@dataclass(frozen=True)
class Column:
    name: str
    numeric: bool


@dataclass(frozen=True)
class Grid:
    """A table of plain values; `left_out` rows follow in the result itself."""

    title: str
    columns: list[Column]
    rows: list[list[Any]]
    left_out: int = 0


@dataclass(frozen=True)
class Result:
    """`text`: the JSON, indented; `cut`: it goes on."""

    grids: list[Grid]
    text: str
    cut: bool


def shown(result: Any) -> Result | None:
    """None for a job without a result."""
    if result is None:
        return None
    text = json.dumps(result, indent=2, ensure_ascii=False)
    return Result(_grids(result), text[:LONGEST_JSON], cut=len(text) > LONGEST_JSON)


def _grids(result: Any) -> list[Grid]:
    if not isinstance(result, Mapping):
        return []
    found = (_scores(result.get("scores")), _rows(result))
    return [grid for grid in found if grid is not None]


def _scores(scores: Any) -> Grid | None:
    if not isinstance(scores, Mapping) or not scores or not all(map(_plain, scores.values())):
        return None
    return _grid("Scores", ["Score", "Value"], [[name, value] for name, value in scores.items()])


def _rows(result: Mapping[str, Any]) -> Grid | None:
    rows = result.get("rows")
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not rows:
        return None
    names = _column_names(result.get("columns"), rows[0])
    if not 0 < len(names) <= MOST_COLUMNS:
        return None
    cells = [row for row in (_cells(row, names) for row in rows[:MOST_ROWS]) if row is not None]
    if len(cells) < min(len(rows), MOST_ROWS):
        return None
    return _grid("Rows", names, cells, left_out=len(rows) - len(cells))


def _grid(title: str, names: list[str], rows: list[list[Any]], *, left_out: int = 0) -> Grid:
    columns = [Column(name, all(_number(row[index]) for row in rows)) for index, name in enumerate(names)]
    return Grid(title, columns, rows, left_out)


def _column_names(named: Any, first: Any) -> list[str]:
    if isinstance(named, list) and all(isinstance(name, str) for name in named):
        return named
    return list(first) if isinstance(first, Mapping) else []


def _cells(row: Any, names: list[str]) -> list[Any] | None:
    if isinstance(row, Mapping):
        cells = [row.get(name) for name in names]
    elif isinstance(row, list) and len(row) == len(names):
        cells = row
    else:
        return None
    return cells if all(map(_plain, cells)) else None


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
