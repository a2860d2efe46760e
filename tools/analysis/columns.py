"""Columns: names that SQL takes as they are, and types that fit every value."""

from __future__ import annotations

import json
import math
import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from itertools import chain, count, groupby
from typing import Any, Final, Literal

from signoff.tools.analysis.spreadsheets import Grid, read_grids
from signoff.tools.documents.archive import MOST_TIMES
from signoff.tools.documents.blocks import unreadable_if_damaged
from signoff.tools.errors import Unreadable

Type = Literal["integer", "float", "text", "blob"]
Cell = int | float | str | bytes | None

LONGEST_CELL: Final = 100_000
"""Characters of one cell."""
_BATCH: Final = 500_000
"""Characters of rows that are sent at once."""
_LONGEST_NAME: Final = 60
_WHOLE: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")  # 18 digits always fit an integer of SQLite
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
    names: list[str] = []
    for at, title in enumerate(titles, 1):
        names.append(choose_name(title, f"{fallback}_{at}", names))
    return names


def choose_name(title: str, fallback: str, taken: Iterable[str]) -> str:
    """A name that SQL takes without quotes and that is none of those taken."""
    words = re.sub(r"\W+", "_", unicodedata.normalize("NFKC", title)).strip("_")[:_LONGEST_NAME].strip("_")
    name = f"_{words}" if words[:1].isnumeric() else words or fallback
    if name.lower().startswith(("sqlite_", "signoff_")):
        name = f"_{name}"
    if not _is_plain(name):
        name = f"{name}_"
    known = {other.lower() for other in taken}
    numbered = (f"{name}_{number}" for number in count(2))
    return next(free for free in chain([name], numbered) if free.lower() not in known)


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
        is_day = value.time() == time() and value.tzinfo is None
        return value.date().isoformat() if is_day else value.isoformat(" ")
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


@dataclass(frozen=True)
class Shape:
    """The columns of a grid, how many rows it has, and which of its cells the columns are."""

    columns: tuple[Column, ...]
    rows: int
    places: tuple[int, ...] = ()


def find_shape(grid: Grid, most_rows: int, most_columns: int) -> Shape:
    """Go through all rows; Unreadable if there are too many of them, or too many columns."""
    types: list[Type | None] = []
    rows = 0

    def widen(width: int) -> None:
        if width > most_columns:
            raise Unreadable(f"{width:,} columns; {most_columns:,} is the limit")
        types.extend([None] * (width - len(types)))

    widen(len(grid.titles))
    for row in grid.rows():
        rows += 1
        if rows > most_rows:
            raise Unreadable(f"more than {most_rows:,} rows")
        widen(len(row))
        for place, value in enumerate(row):
            if value is not None and value != "":
                types[place] = _widen(types[place], to_cell(value), grid.written)
    titles = [*grid.titles, *[""] * (len(types) - len(grid.titles))]
    places = [at for at, title in enumerate(titles) if title.strip() or types[at]]
    if not places or not rows:
        raise Unreadable("no rows in it")
    names = choose_names([titles[place] for place in places], "column")
    columns = [Column(name, titles[place], types[place] or "text") for name, place in zip(names, places, strict=True)]
    return Shape(tuple(columns), rows, tuple(places))


def _widen(known: Type | None, cell: Cell, written: bool) -> Type | None:
    """The type of a column with one more cell; None while it has no values."""
    found = None if cell is None or known == "text" else _type_of(cell, written)
    if found is None or known is None:
        return found or known
    return known if found == known else "float" if {known, found} == {"integer", "float"} else "text"


def _type_of(cell: int | float | str | bytes, written: bool) -> Type | None:
    if isinstance(cell, int):
        return "integer"
    if isinstance(cell, float):
        return "float"
    if isinstance(cell, bytes):
        return "blob"
    if cell.lower() in _MISSING:
        return None
    if written and _WHOLE.fullmatch(cell):
        return "integer"
    return "float" if written and _NUMBER.fullmatch(cell) and math.isfinite(float(cell)) else "text"


def convert(value: Any, to: Type) -> Cell:
    """A value of a file as the cell of a column of this type."""
    cell = to_cell(value)
    if to in ("text", "blob") or not isinstance(cell, str):
        return cell
    if cell.lower() in _MISSING:
        return None
    return int(cell) if to == "integer" else float(cell)


# Tables on their way from the process that reads them


@dataclass(frozen=True)
class Loaded:
    """A table as it is stored."""

    part: str
    shape: Shape
    rows: Iterator[Sequence[Cell]]
    """To be gone through before the next table is asked for."""


def read_tables(
    name: str, raw: bytes, *, rows: int, columns: int, tables: int, times: float = MOST_TIMES
) -> Iterator[dict[str, Any]]:
    """The tables in a file, each before its rows; Unreadable if there are none, or one is larger than this."""
    with unreadable_if_damaged():
        grids = read_grids(name, raw, times=times)
        if len(grids) > tables:
            raise Unreadable(f"{len(grids):,} tables; {tables:,} is the limit")
        shapes = [find_shape(grid, rows, columns) for grid in grids]
        for grid, shape in zip(grids, shapes, strict=True):
            yield {"part": grid.part, "columns": [astuple(column) for column in shape.columns], "rows": shape.rows}
            types = list(zip(shape.places, (column.type for column in shape.columns), strict=True))
            kept, size = list[list[Cell]](), 0
            for row in grid.rows():
                kept.append([convert(row[at], to) if at < len(row) else None for at, to in types])
                size += sum(len(cell) if isinstance(cell, str | bytes) else 8 for cell in kept[-1])
                if size > _BATCH:
                    yield {"more": kept}
                    kept, size = [], 0
            yield {"more": kept}


def loaded(found: Iterator[dict[str, Any]]) -> Iterator[Loaded]:
    """The tables that `read_tables` told, as they are told."""
    number = 0

    def number_of(told: dict[str, Any]) -> int:
        nonlocal number
        number += "part" in told
        return number

    for _, group in groupby(found, number_of):
        told = iter(group)
        head = next(told)
        columns = tuple(Column(*column) for column in head["columns"])
        yield Loaded(head["part"], Shape(columns, head["rows"]), chain.from_iterable(batch["more"] for batch in told))
