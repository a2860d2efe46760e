"""Columns: names that SQL takes as they are, and types that fit every value."""

from __future__ import annotations

import json
import math
import re
import sqlite3
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Final, Literal

from signoff.tools.analysis.spreadsheets import Grid
from signoff.tools.errors import Unreadable

Type = Literal["integer", "float", "text", "blob"]
Cell = int | float | str | bytes | None

LONGEST_CELL: Final = 100_000
"""Characters of one cell."""
_LONGEST_NAME: Final = 60
_LONGEST_WHOLE: Final = 18
"""Digits that always fit an integer of SQLite."""
_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NUMBER: Final = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_MISSING: Final = frozenset(
    {"na", "n/a", "nan", "null", "none", "-", "–", "—", "?", "#n/a", "#div/0!", "#null!", "#num!", "#ref!", "#value!"}
)
"""What stands for no value in a column of numbers; in a column of text these are text."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    title: str
    """Its heading in the file; empty if it had none."""
    type: Type


def choose_names(titles: Sequence[str], fallback: str) -> list[str]:
    """For each title a name that SQL takes without quotes, each once whatever the case."""
    taken: set[str] = set()
    return [_choose(title, f"{fallback}_{at}", taken) for at, title in enumerate(titles, 1)]


def choose_name(title: str, fallback: str, taken: Iterable[str]) -> str:
    """A name that SQL takes without quotes and that is none of those taken."""
    return _choose(title, fallback, {name.lower() for name in taken})


def _choose(title: str, fallback: str, taken: set[str]) -> str:
    words = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", title)).strip("_")[:_LONGEST_NAME].strip("_")
    name = f"_{words}" if words[:1].isnumeric() else words or fallback
    if name.lower().startswith(("sqlite_", "signoff_")):
        name = f"_{name}"
    if not _is_plain(name):
        name = f"{name}_"
    base, number = name, 1
    while name.lower() in taken:
        number += 1
        name = f"{base}_{number}"
    taken.add(name.lower())
    return name


@cache
def _is_plain(name: str) -> bool:
    """Whether SQLite itself takes the name for a table and for a column without quotes."""
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute(f"create table {name} ({name} text)")
            connection.execute(f"select {name}, {name}.{name} as {name} from {name} group by {name}")
        except sqlite3.OperationalError:
            return False
    return True


def to_cell(value: Any) -> Cell:
    """A value of a file as SQLite can hold it; NaN and infinity are no value. Unreadable if it is too long."""
    if isinstance(value, str):
        if len(value) > LONGEST_CELL:
            raise Unreadable(f"a cell of {len(value):,} characters; {LONGEST_CELL:,} is the limit")
        return value.strip().encode("utf-8", "replace").decode() or None
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return to_cell(_plain(value))


def _plain(value: Any) -> Any:
    """A date as ISO 8601, a fraction as a number if that loses nothing, anything nested as JSON."""
    if isinstance(value, datetime):
        return value.date().isoformat() if _is_midnight(value) else value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        near = float(value) if value.is_finite() else math.nan
        return near if math.isnan(near) or Decimal(repr(near)) == value else str(value)
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=lambda inner: str(_plain(inner)))
    return str(value)


def _is_midnight(value: datetime) -> bool:
    return value.time() == time() and value.tzinfo is None


@dataclass(frozen=True)
class Shape:
    """The columns of a grid, which of its cells they are, and how many rows it has."""

    columns: tuple[Column, ...]
    places: tuple[int, ...]
    rows: int


def find_shape(grid: Grid, *, most_rows: int, most_columns: int) -> Shape:
    """Go through all rows; Unreadable if there are too many of them, or too many columns."""
    seen: list[_Seen] = [_Seen(grid.written) for _ in grid.titles]
    count = 0
    for row in grid.rows():
        count += 1
        if count > most_rows:
            raise Unreadable(f"more than {most_rows:,} rows")
        if len(row) > len(seen):
            seen += [_Seen(grid.written) for _ in range(len(row) - len(seen))]
        if len(seen) > most_columns:
            raise Unreadable(f"{len(seen):,} columns; {most_columns:,} is the limit")
        for place, value in enumerate(row):
            if value is not None and value != "":
                seen[place].take(to_cell(value))
    titles = [*grid.titles, *[""] * (len(seen) - len(grid.titles))]
    places = [at for at, title in enumerate(titles) if title.strip() or seen[at].type != "empty"]
    if not places or not count:
        raise Unreadable("no rows in it")
    names = choose_names([titles[place] for place in places], "column")
    columns = [
        Column(name, titles[place], "text" if (found := seen[place].type) == "empty" else found)
        for name, place in zip(names, places, strict=True)
    ]
    return Shape(tuple(columns), tuple(places), count)


class _Seen:
    """What the cells of one column have been so far."""

    def __init__(self, written: bool) -> None:
        self._written = written
        self.type: Type | Literal["empty"] = "empty"

    def take(self, cell: Cell) -> None:
        if cell is None or self.type == "text":
            return
        found = self._of(cell)
        if found is None or found == self.type:
            return
        if self.type == "empty":
            self.type = found
        else:
            self.type = "float" if {self.type, found} == {"integer", "float"} else "text"

    def _of(self, cell: Cell) -> Type | None:
        if isinstance(cell, int):
            return "integer"
        if isinstance(cell, float):
            return "float"
        if isinstance(cell, bytes):
            return "blob"
        text = cell or ""
        if text.lower() in _MISSING:
            return None
        if self._written and _WHOLE.fullmatch(text):
            return "integer"
        return "float" if self._written and _NUMBER.fullmatch(text) and math.isfinite(float(text)) else "text"


def make_converter(column: Column) -> Callable[[Any], Cell]:
    """What makes of a value of a file the cell of this column."""
    if column.type in ("text", "blob"):
        return to_cell

    def convert(value: Any) -> Cell:
        cell = to_cell(value)
        if not isinstance(cell, str):
            return cell
        if cell.lower() in _MISSING:
            return None
        return int(cell) if column.type == "integer" else float(cell)

    return convert
