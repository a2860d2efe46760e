"""What was computed from tables, and how a report shows it. No number in it was written by a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from signoff.agents.artifacts import Analysis, Computation, Picture
from signoff.agents.citations import escape, flatten
from signoff.tools.analysis import Chart, QueryResult, Table, Tables, alternative
from signoff.tools.errors import QueryRefused

HEADING = "From the tables"
_NOTE = "*Computed from the tables by the queries shown, when the report was made.*"
MOST_ROWS = 30
"""Rows of one computation that a report shows."""
_MOST_COLUMNS, _MOST_MEASURED = 8, 100_000
_MEASURES = ("count", "min", "mean", "median", "max")
_ASKS_FOR_NUMBERS = re.compile(
    r"\b(?:average|mean|median|total|sum|minimum|maximum|lowest|highest|statistics|distribution|correlat\w*)\b",
    re.IGNORECASE,
)


def compute(tables: Tables, title: str, sql: str) -> Computation:
    """What a query finds, under a title; QueryRefused if it is not answered."""
    result = tables.query(sql, rows=MOST_ROWS)
    return Computation(
        title=flatten(title), sql=sql.strip(), columns=result.columns, rows=result.rows, more=result.more
    )


def measure(goal: str, tables: Tables) -> tuple[Computation, ...]:
    """Plain statistics of the tables that the goal names; none unless it asks for numbers, and of no large table."""
    if not _ASKS_FOR_NUMBERS.search(goal):
        return ()
    named = [table for table in tables.tables() if table.rows <= _MOST_MEASURED and _is_named(table, goal)]
    return tuple(
        compute(tables, f"The numbers of {table.source} ({table.rows:,} rows)", sql)
        for table in named[:3]
        if (sql := _measuring(table))
    )


def _is_named(table: Table, goal: str) -> bool:
    """Whether the goal says the file's name or the table's."""
    names = {table.name, table.file, table.file.rpartition("/")[2]}
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", goal, re.IGNORECASE) for name in names)


def _measuring(table: Table) -> str:
    numbers = [column.name for column in table.columns if column.type in ("integer", "float")][:_MOST_COLUMNS]
    return "\nunion all ".join(
        f"select '{name}' as \"column\", "
        + ", ".join(f'{measure}("{name}") as {measure}' for measure in _MEASURES)
        + f' from "{table.name}"'
        for name in numbers
    )


def picture_of(chart: Chart) -> Picture:
    return Picture(title=chart.title, name=chart.name, sha256=chart.sha256, bytes=len(chart.png), sql=chart.sql)


def figures_section(analysis: Analysis) -> str:
    """The part of a report that shows what was computed and drawn; empty if nothing was."""
    if not analysis.computations and not analysis.pictures:
        return ""
    return "\n\n".join([f"## {HEADING}", _NOTE, *_shown(analysis)])


def _shown(analysis: Analysis) -> Iterator[str]:
    for computation in analysis.computations:
        yield f"### {escape(computation.title)}"
        yield QueryResult(computation.columns, computation.rows).markdown()
        if computation.more:
            yield f"*The first {len(computation.rows)} rows.*"
        yield _fenced(computation.sql)
    for picture in analysis.pictures:
        yield f"![{alternative(picture.title)}]({picture.name})"
        yield _fenced(picture.sql)


def _fenced(sql: str) -> str:
    """The query as code. Its lines are indented, so that none can be taken for a heading."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", sql)), default=0))
    lines = "\n".join(f"  {line}".rstrip() for line in sql.strip().splitlines())
    return f"{fence}sql\n{lines}\n{fence}"


def find_changed(computations: Sequence[Computation], tables: Tables) -> Iterator[str]:
    """The titles of computations that the tables no longer give."""
    for computation in computations:
        try:
            now: Computation | None = compute(tables, computation.title, computation.sql)
        except QueryRefused:
            now = None
        if now != computation:
            yield computation.title
