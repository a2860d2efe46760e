"""Plain questions to tables, read without a model: what is counted or measured, of which rows, and by what."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from signoff.tools.analysis.columns import Column
from signoff.tools.analysis.store import Table
from signoff.tools.analysis.tables import Tables
from signoff.tools.errors import QueryRefused

Aggregate = Literal["mean", "median", "sum", "min", "max", "stdev", "count"]

_ASKED: Final[dict[Aggregate, re.Pattern[str]]] = {
    "mean": re.compile(r"\b(?:average|mean|avg)\b", re.IGNORECASE),
    "median": re.compile(r"\bmedian\b", re.IGNORECASE),
    "sum": re.compile(r"\b(?:total|sum|altogether)\b", re.IGNORECASE),
    "stdev": re.compile(r"\b(?:standard deviation|stdev|std)\b", re.IGNORECASE),
    "count": re.compile(r"\b(?:how many|number of|count)\b", re.IGNORECASE),
    "min": re.compile(r"\b(?:minimum|min)\b", re.IGNORECASE),
    "max": re.compile(r"\b(?:maximum|max)\b", re.IGNORECASE),
}
_FARTHEST: Final[dict[Aggregate, re.Pattern[str]]] = {
    "min": re.compile(
        r"\b(?:lowest|smallest|least|cheapest|shortest|fewest|coldest|slowest|youngest)\b", re.IGNORECASE
    ),
    "max": re.compile(
        r"\b(?:highest|largest|greatest|most|biggest|longest|hottest|dearest|fastest|oldest)\b", re.IGNORECASE
    ),
}
"""What is asked for if nothing else is: 'the year with the highest mean' asks for means."""
_STATISTICS: Final = re.compile(r"\b(?:statistics|distribution|summary|describe|correlat\w*)\b", re.IGNORECASE)
_OVER_TIME: Final = re.compile(r"\b(?:over time|trend|develop\w*|evol\w*|time series|course of)\b", re.IGNORECASE)
_PERIODS: Final = {"year": 4, "month": 7, "day": 10}
"""Characters of a date in ISO 8601 that say so much of it."""
_PERIOD: Final = re.compile(
    r"\b(?:by|per|each|every|for each|which|what|over the) (year|month|day)s?\b|\b(year|month|dai)ly\b", re.I
)
_BY: Final = re.compile(r"\b(?:by|per|for each|for every|of each|of every|each|every|which|what)\b", re.IGNORECASE)
_COMPARED: Final = tuple(
    (sign, re.compile(rf"(?:is |are |was |were )?(?:{words})\s*(-?\d+(?:\.\d+)?)(?![\w-])", re.IGNORECASE))
    for sign, words in (
        (">=", r"\bat least|>=|≥|no less than"),
        ("<=", r"\bat most|<=|≤|\bup to"),
        (">", r"\b(?:over|above|greater than|more than|exceeds?)|>"),
        ("<", r"\b(?:under|below|less than|fewer than)|<"),
        ("=", r"\b(?:is|are|equals?|of)|=|"),
    )
)
_YEAR: Final = re.compile(r"\b(?:in|of|during|for) ((?:19|20)\d\d)\b")
_WORD: Final = re.compile(r"[^\W_]+")
_DATE: Final = "[12][0-9][0-9][0-9]-[01][0-9]*"
_MOST_ROWS, _MOST_VALUES, _MOST_LINE, _MOST_TEXTS = 100_000, 500, 1_000, 20
_MEASURES, _MOST_COLUMNS = ("count", "min", "mean", "median", "max"), 8


@dataclass(frozen=True)
class Asked:
    """A query that answers a plain question, and how its rows are best drawn."""

    title: str
    sql: str
    chart: Literal["", "bar", "line"] = ""


def read_question(goal: str, tables: Tables) -> list[Asked]:
    """What a goal asks of the tables that it means, by their names or those of their columns; else nothing.

    A query is made of names and values that are there, and of nothing that the goal says.
    """
    asking = (*_ASKED.values(), *_FARTHEST.values(), _STATISTICS, _OVER_TIME)
    if not any(words.search(goal) for words in asking):
        return []
    every = [table for table in tables.tables() if 0 < table.rows <= _MOST_ROWS]
    named = [table for table in every if _is_named(table, goal)]
    known = named or [table for table in every if any(_is_number(column) for column in _mentioned(table, goal))]
    if not named and len({len(_mentioned(table, goal)) for table in known}) > 1:
        most = max(len(_mentioned(table, goal)) for table in known)
        known = [table for table in known if len(_mentioned(table, goal)) == most]
    asked = [one for table in known[:3] for one in _Reader(table, goal, tables).read(surely=table in named)]
    return asked if asked or not named else [one for table in named[:3] for one in _measured(table)]


def _is_named(table: Table, goal: str) -> bool:
    """Whether the goal says the file's name, with or without what it ends in, or the table's."""
    base = table.file.rpartition("/")[2]
    stem = base.rpartition(".")[0]
    names = {table.name, table.file, base, *({stem} if len(stem) > 3 else ())}
    return any(re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", goal, re.IGNORECASE) for name in names)


def _is_number(column: Column) -> bool:
    return column.type in ("integer", "float")


def _forms(text: str) -> list[str]:
    """The words of a text in small letters and singular."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return [re.sub(r"(?<=[^s])s$|(?<=ss)es$", "", word.lower()) for word in _WORD.findall(parted)]


def _places(name: str, goal: Sequence[str]) -> Iterator[int]:
    """Where a name stands in the goal's words."""
    words = _forms(name)
    return (at for at in range(len(goal) - len(words) + 1) if words and goal[at : at + len(words)] == words)


def _mentioned(table: Table, goal: str) -> list[Column]:
    """The columns that the goal names, in its order; of two that begin alike the longer."""
    words, taken = _forms(goal), set[int]()
    found: list[tuple[int, Column]] = []
    for column in sorted(table.columns, key=lambda column: -len(_forms(column.name))):
        for name in dict.fromkeys((column.name, column.title)):
            at = next((at for at in _places(name, words) if at not in taken), None)
            if at is not None:
                taken.update(range(at, at + len(_forms(name))))
                found.append((at, column))
                break
    return [column for _, column in sorted(found, key=lambda pair: pair[0])]


def _measured(table: Table) -> Iterator[Asked]:
    """Plain statistics of all columns of numbers."""
    numbers = [column.name for column in table.columns if _is_number(column)][:_MOST_COLUMNS]
    lines = (
        f"select '{name}' as \"column\", "
        + ", ".join(f"{measure}({_quoted(name)}) as {measure}" for measure in _MEASURES)
        + f" from {_quoted(table.name)}"
        for name in numbers
    )
    if numbers:
        yield Asked(f"The numbers of {table.source} ({table.rows:,} rows)", "\nunion all ".join(lines))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def _computed(aggregate: Aggregate, column: Column) -> str:
    value = f"{aggregate}({_quoted(column.name)})"
    is_whole = aggregate in ("min", "max") or (aggregate == "sum" and column.type == "integer")
    return value if is_whole else f"round({value}, 4)"


class _Reader:
    """Reads a goal as a question to one table."""

    def __init__(self, table: Table, goal: str, tables: Tables) -> None:
        self.table, self.goal, self.tables = table, goal, tables
        self.mentioned = _mentioned(table, goal)

    def read(self, *, surely: bool) -> Iterator[Asked]:
        """The queries; where it is not sure that the table is meant, only if more than a column's name fits."""
        conditions, told, compared = self._conditions()
        measured = [column for column in self.mentioned if _is_number(column)]
        by = self._group(measured)
        of = [column for column in measured if column not in compared and (by is None or column.name != by[0])]
        aggregates = self._aggregates()
        if not (surely or by or told or any(self._goes_before(name, column) for name in aggregates for column in of)):
            return
        for name in aggregates:
            if name == "count" and not of:
                yield from self._asked("count(*)", "number of rows", by, conditions, told) if by or told else ()
            elif of:
                value = "sum" if name == "count" else name
                title = f"{value} of {of[0].name}".replace("stdev", "standard deviation")
                yield from self._asked(_computed(value, of[0]), title, by, conditions, told)
        if not aggregates and of and _OVER_TIME.search(self.goal) and self._date:
            period = self._period("month" if self.table.rows > _MOST_LINE else "day", "over time")
            yield from self._asked(_computed("mean", of[0]), f"mean of {of[0].name}", period, conditions, told)

    def _aggregates(self) -> list[Aggregate]:
        """What is asked for, by the words that name no column."""
        goal = self.goal
        for column in self.mentioned:
            goal = re.sub(rf"(?<!\w){self._written(column)}(?!\w)", "·", goal, flags=re.IGNORECASE)
        found = [name for name, words in _ASKED.items() if words.search(goal)]
        return found or [name for name, words in _FARTHEST.items() if words.search(goal)]

    def _goes_before(self, name: Aggregate, column: Column) -> bool:
        """Whether it is plainly this column of which it is asked: 'the mean of temp_max', 'the highest price'."""
        words = "|".join(found[name].pattern for found in (_ASKED, _FARTHEST) if name in found)
        between = r"(?:\s+(?:of|the|in|value|values|all|their|its))*\s+"
        return bool(re.search(rf"(?:{words}){between}{self._written(column)}(?!\w)", self.goal, re.IGNORECASE))

    @staticmethod
    def _written(column: Column) -> str:
        """A pattern of how a goal may write a column's name."""
        return r"[\W_]+".join(map(re.escape, _WORD.findall(column.name))) + "s?"

    def _asked(
        self, value: str, title: str, by: tuple[str, str, str] | None, conditions: Sequence[str], told: Sequence[str]
    ) -> Iterator[Asked]:
        where = f" where {' and '.join(conditions)}" if conditions else ""
        said = " ".join([title, *([by[1]] if by else []), *told])
        name = _quoted("_".join(_WORD.findall(title)) if value != "count(*)" else "count")
        source = f"from {_quoted(self.table.name)}{where}"
        if by is None:
            yield Asked(f"{said} ({self.table.source})", f"select {value} as {name} {source}")
            return
        column, _, chart = by
        key = column if column.startswith("substr(") else _quoted(column)
        label = _quoted("period") if column.startswith("substr(") else key
        order = "1" if chart == "line" else f"2 {'asc' if title.startswith('min') else 'desc'}, 1"
        sql = f"select {key} as {label}, {value} as {name} {source} group by 1 order by {order}"
        yield Asked(f"{said} ({self.table.source})", sql, "line" if chart == "line" else "bar")

    def _group(self, measured: Sequence[Column]) -> tuple[str, str, str] | None:
        """By what the rows are put together, its title, and how it is drawn; None for all rows as one."""
        if period := _PERIOD.search(self.goal):
            part = {"dai": "day"}.get(period[1] or period[2], period[1] or period[2]).lower()
            own = [column for column in self.mentioned if _forms(column.name) == [part]]
            if not own and self._date:
                return self._period(part, f"by {part}")
        for begin in _BY.finditer(self.goal):
            after = _forms(self.goal[begin.end() :])[:3]
            for column in self.mentioned:
                follows = any(at < 2 for name in (column.name, column.title) for at in _places(name, after))
                if follows and (column not in measured[:1] or len(measured) > 1):
                    return column.name, f"by {column.name}", "line" if column.name.lower() == "year" else "bar"
        return None

    @cached_property
    def _texts(self) -> list[tuple[str, bool, list[str]]]:
        """The columns of text: name, whether all in it are dates in ISO 8601, and its values if they are few."""
        names = [column.name for column in self.table.columns if column.type == "text"][:_MOST_TEXTS]
        table = _quoted(self.table.name)
        dates = [f"select count({_quoted(one)}), sum({_quoted(one)} glob '{_DATE}') from {table}" for one in names]
        values = [
            f"select distinct {_quoted(one)} from {table} where {_quoted(one)} is not null limit {_MOST_VALUES + 1}"
            for one in names
        ]
        try:
            found = self.tables.ask([*dates, *values], rows=_MOST_VALUES + 1) if names else []
        except QueryRefused:  # too large to be looked through: nothing of it is known
            return []
        counts, told = found[: len(names)], found[len(names) :]
        return [
            (name, bool(count.rows[0][0]) and count.rows[0][0] == count.rows[0][1], [str(row[0]) for row in one.rows])
            for name, count, one in zip(names, counts, told, strict=True)
        ]

    @cached_property
    def _date(self) -> str:
        """The first column of dates; empty if there is none."""
        return next((name for name, is_date, _ in self._texts if is_date), "")

    @cached_property
    def _year(self) -> str:
        """What gives a row's year, in SQL: of its date, or the column of that name; empty if there is neither."""
        own = next((one.name for one in self.table.columns if _is_number(one) and _forms(one.name) == ["year"]), "")
        return f"substr({_quoted(self._date)}, 1, 4)" if self._date else f"cast({_quoted(own)} as text)" if own else ""

    def _period(self, part: str, told: str) -> tuple[str, str, str]:
        return f"substr({_quoted(self._date)}, 1, {_PERIODS[part]})", told, "line"

    def _conditions(self) -> tuple[list[str], list[str], list[Column]]:
        """Which rows are meant: by numbers compared, by a year, and by values that stand in the table's columns.

        Gives the conditions, how they are told, and the columns that are compared.
        """
        conditions: list[str] = []
        told: list[str] = []
        compared: list[Column] = []
        for column in self.mentioned:
            if not _is_number(column):
                continue
            rest = re.split(re.escape(column.name).replace("_", r"[\s_]"), self.goal, maxsplit=1, flags=re.IGNORECASE)[
                -1
            ]
            for sign, words in _COMPARED:
                if found := words.match(rest.lstrip()):
                    conditions.append(f"{_quoted(column.name)} {sign} {found[1]}")
                    told.append(f"where {column.name} {sign} {found[1]}")
                    compared.append(column)
                    break
        if (year := _YEAR.search(self.goal)) and self._year and not compared:
            conditions.append(f"{self._year} = '{year[1]}'")
            told.append(f"in {year[1]}")
        for name, value in self._values():
            conditions.append(f"{_quoted(name)} = {_text(value)}")
            told.append(f"where {name} is {value}")
        return conditions, told, compared

    def _values(self) -> Iterator[tuple[str, str]]:
        """The columns of text of which the goal says a value, with that value."""
        words, names = _forms(self.goal), {tuple(_forms(column.name)) for column in self.table.columns}
        for name, _, values in self._texts:
            said = [one for one in values if len(one) > 1 and any(True for _ in _places(one, words))]
            said = [one for one in said if tuple(_forms(one)) not in names]
            if len(values) <= _MOST_VALUES and said:
                yield name, max(said, key=len)
