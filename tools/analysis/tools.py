"""Tools for tables: how a model lists, describes and asks them, and draws charts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field

from signoff.tools.action import LoopRisk, ToolLimits, Touches
from signoff.tools.analysis.charts import MOST_ROWS, Charts, Kind, Labels, can_draw, draw
from signoff.tools.analysis.query import QueryResult
from signoff.tools.analysis.query_process import FUNCTIONS
from signoff.tools.analysis.statistics import MOST_SECONDS, describe
from signoff.tools.analysis.tables import Tables
from signoff.tools.errors import ChartRefused, QueryRefused, UnknownTable
from signoff.tools.tool import Tool, tool

_MOST_LISTED: Final = 100
_MOST_SHOWN: Final = 200
"""Rows that a model is shown at once."""
_LONGEST_SHOWN: Final = 20_000
"""Characters of them."""
_LONGEST_CELL: Final = 500
_DIALECT: Final = (
    "SQLite's SQL, one SELECT. Beyond SQLite's own functions there are median(x), mean(x), stdev(x), variance(x), "
    "quantile(x, share) and correlation(x, y)."
)


class DescribeArguments(BaseModel):
    """What `describe_table` is given."""

    table: str = Field(description="Name of the table, as list_tables prints it")


class QueryArguments(BaseModel):
    """What `query_tables` is given."""

    sql: str = Field(min_length=1, max_length=20_000, description=_DIALECT)
    rows: int = Field(default=50, description=f"Number of rows to show, at most {_MOST_SHOWN}")


class ChartArguments(BaseModel):
    """What `make_chart` is given."""

    sql: str = Field(
        min_length=1,
        max_length=20_000,
        description=(
            f"{_DIALECT} bar and line: the first column names the places, each other one is a series of numbers; "
            "scatter: two columns of numbers; histogram: columns of numbers; box: columns of numbers, or a column of "
            "groups and one of numbers."
        ),
    )
    kind: Kind = Field(description="bar, line, scatter, histogram or box")
    title: str = Field(min_length=1, max_length=200, description="What the chart shows, in a few words")
    x_label: str = Field(default="", max_length=100, description="What stands across, with its unit")
    y_label: str = Field(default="", max_length=100, description="What stands upwards, with its unit")
    log: bool = Field(default=False, description="Whether the numbers are on a logarithmic scale")


class _Nothing(BaseModel):
    """No arguments."""


def table_tools(tables: Tables, *, home: Path | str = ".signoff") -> tuple[Tool, ...]:
    """`list_tables`, `describe_table`, `query_tables`, and with matplotlib `make_chart`, which keeps charts in `home`.

    What is wrong with a query comes back as text, with the tables and columns there are.
    """
    answers = _Answers(tables, Charts(home))
    limits = ToolLimits(seconds=max(MOST_SECONDS, tables.limits.seconds) + 30)
    touches = Touches(reads=tables.origins)

    def make(function: Callable[..., str], about: str, arguments: type[BaseModel], risk: LoopRisk = "read") -> Tool:
        steady = risk == "read"
        return tool(risk=risk, steady=steady, description=about, arguments=arguments, touches=touches, limits=limits)(
            function
        )

    statistics = "Statistics of each column of a table, and its commonest values."
    made = (
        make(answers.list_tables, "List the tables and their columns.", _Nothing),
        make(answers.describe_table, statistics, DescribeArguments),
        make(answers.query_tables, f"Ask the tables with SQL. {_DIALECT}", QueryArguments),
    )
    if not can_draw():
        return made
    return (*made, make(answers.make_chart, "Draw a chart of what a query finds.", ChartArguments, "sandboxed"))


class _Answers:
    def __init__(self, tables: Tables, charts: Charts) -> None:
        self._tables, self._charts = tables, charts

    def list_tables(self) -> str:
        found = self._tables.tables()
        lines = [
            f"{table.name} ({table.rows:,} rows, from {table.source}): "
            + ", ".join(f"{column.name} {column.type}" for column in table.columns)
            for table in found[:_MOST_LISTED]
        ]
        lines += [f"… and {len(found) - _MOST_LISTED} more"] * (len(found) > _MOST_LISTED)
        lines += [f"Not read: {skip.path} ({skip.reason})" for skip in self._tables.skipped()[:20]]
        return "\n".join(lines) or "There are no tables."

    def describe_table(self, table: str) -> str:
        try:
            found = describe(self._tables, table)
        except (UnknownTable, QueryRefused) as error:
            return str(error)
        head = f"{found.table.name}, {found.table.rows:,} rows, from {found.table.source}. Numbers are rounded here."
        titles = [f"{c.name} is titled {c.title!r}" for c in found.table.columns if c.title not in ("", c.name)]
        return "\n".join(filter(None, [head, "; ".join(titles), *_lines(found.result())]))

    def query_tables(self, sql: str, rows: int = 50) -> str:
        try:
            result = self._tables.query(sql, rows=max(1, min(rows, _MOST_SHOWN)))
        except QueryRefused as error:
            return _explained(error)
        if not result.rows:
            return f"No row was found. Columns: {', '.join(result.columns)}."
        more = "There are more rows: add up in SQL, or use LIMIT and OFFSET." if result.more else ""
        return "\n".join(filter(None, [f"{len(result.rows)} rows.", *_lines(result), more]))

    def make_chart(
        self, sql: str, kind: Kind, title: str, x_label: str = "", y_label: str = "", log: bool = False
    ) -> str:
        try:
            result = self._tables.query(sql, rows=MOST_ROWS)
            labels = Labels(title=title, x=x_label, y=y_label, log=log)
            chart = self._charts.keep(draw(kind, result, labels, sql=sql))
        except QueryRefused as error:
            return _explained(error)
        except ChartRefused as error:
            return str(error)
        note = f" Note: {chart.note}." if chart.note else ""
        return f"Drawn from {chart.rows:,} rows as {chart.name}.{note} A text shows it with: {chart.markdown}"


def _explained(error: QueryRefused) -> str:
    if "not authorized to use function" not in error.problem:
        return str(error)
    return f"{error} Functions that can be used: {', '.join(sorted(FUNCTIONS - {'figures'}))}."


def _lines(result: QueryResult) -> list[str]:
    """Columns and rows as lines, cut where they are too long."""
    lines = [" | ".join(result.columns)]
    left = _LONGEST_SHOWN
    for row in result.rows:
        line = " | ".join(map(_shown, row))
        left -= len(line)
        if left < 0:
            return [*lines, f"[cut: {len(lines) - 1} of {len(result.rows)} rows are shown; select fewer columns]"]
        lines.append(line)
    return lines


def _shown(value: int | float | str | None) -> str:
    text = "NULL" if value is None else " ".join(str(value).split())
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}…"
