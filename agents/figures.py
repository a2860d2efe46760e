"""What was computed from tables, and how a report shows it. No number in it was written by a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from signoff.agents.artifacts import Analysis, Computation, Picture
from signoff.agents.citations import escape, flatten
from signoff.tools.analysis import (
    Chart,
    Charts,
    Labels,
    QueryResult,
    Tables,
    alternative,
    can_draw,
    draw,
    read_question,
)
from signoff.tools.errors import ChartRefused, QueryRefused

HEADING = "From the tables"
_NOTE = "*Computed from the tables by the queries shown, when the report was made.*"
MOST_ROWS = 30
"""Rows of one computation that a report shows."""


def compute(tables: Tables, title: str, sql: str) -> Computation:
    """What a query finds, under a title; QueryRefused if it is not answered."""
    result = tables.query(sql, rows=MOST_ROWS)
    return Computation(
        title=flatten(title), sql=sql.strip(), columns=result.columns, rows=result.rows, more=result.more
    )


def measure(goal: str, tables: Tables, charts: Charts) -> tuple[tuple[Computation, ...], tuple[Picture, ...]]:
    """What a plain question asks of the tables, computed, and drawn where rows side by side say more as a picture."""
    computed: list[Computation] = []
    drawn: list[Picture] = []
    for asked in read_question(goal, tables):
        found = compute(tables, asked.title, asked.sql)
        computed.append(found)
        if asked.chart and len(found.rows) > 1 and can_draw():
            try:
                chart = draw(asked.chart, tables.query(asked.sql), Labels(title=asked.title), sql=asked.sql)
            except ChartRefused:
                continue  # too many bars, or no numbers: the rows stand there
            drawn.append(picture_of(charts.keep(chart)))
    return tuple(computed), tuple(drawn)


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
    queries = {computation.sql for computation in analysis.computations}
    for picture in analysis.pictures:
        yield f"![{alternative(picture.title)}]({picture.name})"
        if picture.sql.strip() not in queries:
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
