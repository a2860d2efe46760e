"""Statistics: what stands in each column of a table, counted and measured exactly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from signoff.tools.analysis.columns import Column
from signoff.tools.analysis.query import QueryResult, Value
from signoff.tools.analysis.store import Table
from signoff.tools.analysis.tables import Tables
from signoff.tools.errors import QueryRefused

MOST_SECONDS: Final = 60.0
"""Seconds that a description may take."""
_SECONDS_EACH: Final = 2.0
_TOP = 5
_SHOWN = 80
"""Characters of a value that a description shows."""


@dataclass(frozen=True)
class ColumnStatistics:
    """One column: how many values, which, and for numbers how they are spread. None where there are no numbers."""

    column: Column
    count: int
    """Cells with a value."""
    missing: int
    distinct: int
    least: Value
    greatest: Value
    top: tuple[tuple[Value, int], ...]
    """The values that stand there most often, more than once, and how often."""
    mean: float | None = None
    median: float | None = None
    stdev: float | None = None
    """Of a sample: divided by one less than the count."""
    q1: float | None = None
    q3: float | None = None


@dataclass(frozen=True)
class TableStatistics:
    """A table and the statistics of its columns. In a notebook it shows itself."""

    table: Table
    columns: tuple[ColumnStatistics, ...]

    def result(self) -> QueryResult:
        """The statistics as rows."""
        heads = ("column", "type", "count", "missing", "distinct", "min", "max", "mean", "median", "stdev", "q1", "q3")
        return QueryResult((*heads, "most often"), tuple(_row(statistics) for statistics in self.columns))

    def _repr_markdown_(self) -> str:
        return f"**{self.table.name}** ({self.table.source}), {self.table.rows:,} rows\n\n{self.result().markdown()}"


def describe(tables: Tables, name: str) -> TableStatistics:
    """Statistics of every column of a table; UnknownTable if there is none of this name."""
    table = tables.table(name)
    statements = [statement for column in table.columns for statement in _statements(table, column)]
    seconds = min(MOST_SECONDS, tables.limits.seconds + _SECONDS_EACH * len(table.columns))
    results = iter(tables.ask(statements, seconds=seconds))
    return TableStatistics(table, tuple(_read(column, results) for column in table.columns))


def correlation(tables: Tables, name: str, first: str, second: str) -> float | None:
    """Pearson's correlation of two columns over the rows that have both; None if one of them never changes."""
    table = tables.table(name)
    pair = f"{_column(table, first)}, {_column(table, second)}"
    ((value,),) = tables.query(f'select correlation({pair}) from "{table.name}"').rows
    return None if value is None else float(value)


def group(tables: Tables, name: str, by: Sequence[str], column: str) -> QueryResult:
    """Count, sum, mean, median, least and greatest of a column for each value of others, the largest group first."""
    table = tables.table(name)
    keys = ", ".join(_column(table, key) for key in by)
    over = _column(table, column)
    measures = ", ".join(f'{name}({over}) as "{name}"' for name in ("count", "sum", "mean", "median", "min", "max"))
    grouped = f'from "{table.name}" group by {keys} order by count({over}) desc, {keys}'
    return tables.query(f"select {keys}, {measures} {grouped}")


def _column(table: Table, name: str) -> str:
    """The name of one of its columns, quoted: what SQLite does not know in quotation marks, it takes for a text."""
    known = {column.name.lower(): column.name for column in table.columns}
    if name.lower() not in known:
        raise QueryRefused(f"{table.name} has no column {name[:100]!r}", f"It has: {', '.join(known.values())}.")
    return f'"{known[name.lower()]}"'


def _statements(table: Table, column: Column) -> Iterator[str]:
    name, source = f'"{column.name}"', f'"{table.name}"'
    figures = f"figures({name})" if column.type in ("integer", "float") else "null"
    ends = f"{_short(f'min({name})')}, {_short(f'max({name})')}"
    yield f"select count({name}), count(*) - count({name}), count(distinct {name}), {ends}, {figures} from {source}"
    yield (
        f"select {_short(name)}, count(*) from {source} where {name} is not null group by {name} "
        f"having count(*) > 1 order by count(*) desc, {name} limit {_TOP}"
    )


def _short(value: str) -> str:
    return f"iif(typeof({value}) = 'text', substr({value}, 1, {_SHOWN}), {value})"


def _read(column: Column, results: Iterator[QueryResult]) -> ColumnStatistics:
    ((count, missing, distinct, least, greatest, figures),) = next(results).rows
    top = tuple((row[0], int(str(row[1]))) for row in next(results).rows)
    spread = json.loads(str(figures)) if figures is not None else {}
    return ColumnStatistics(
        column, int(str(count)), int(str(missing)), int(str(distinct)), least, greatest, top, **spread
    )


def _row(found: ColumnStatistics) -> tuple[Value, ...]:
    top = ", ".join(f"{value} ×{times}" for value, times in found.top)
    measures = (found.mean, found.median, found.stdev, found.q1, found.q3)
    counts = (found.count, found.missing, found.distinct, found.least, found.greatest)
    return (found.column.name, found.column.type, *counts, *map(_rounded, measures), top)


def _rounded(value: float | None) -> Value:
    """To be read: six digits; the exact value is in the statistics themselves."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
