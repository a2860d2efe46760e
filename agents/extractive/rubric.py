"""A rubric that people write: rules that give points or exclude, each held against a cell; code adds them up.

    [[rules]]
    points = 2
    name = "not said to run on Python 3.13"
    column = "Classifier"
    lacks = "Python :: 3.13"

A point cites the line that gave it. Where a look-up failed, or sources contradict each other, a rule gives nothing, and
that is told.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from signoff.agents.artifacts import Artifact, Cell, Column, Part, Table, column_of, key_of
from signoff.checkpoints import digest
from signoff.error_base import SettingsError
from signoff.wording import counted, one_line

_PLACEHOLDER: Final = re.compile(r"\{([^{}\n]+)\}")
_TESTS: Final = ("has", "lacks", "matches", "equals", "below", "above", "before", "after")


class Rule(Part):
    """What gives points, or excludes, if a row's cell is so."""

    name: str = Field(min_length=1, max_length=120)
    column: str = Field(min_length=1, max_length=120)
    points: int = Field(default=0, ge=-1000, le=1000)
    exclude: bool = False
    has: str = Field(default="", description="One of its lines holds this text")
    lacks: str = Field(default="", description="None of its lines holds this text")
    matches: str = Field(default="", description="A regular expression fits one of its lines")
    equals: str = Field(default="", description="It is this value")
    below: str = Field(default="", description="Its number, or version, is below this one")
    above: str = Field(default="", description="Its number, or version, is above this one")
    before: date | None = Field(default=None, description="Its date is before this one")
    after: date | None = Field(default=None, description="Its date is after this one")

    @model_validator(mode="after")
    def _check_test(self) -> Self:
        named = [name for name in _TESTS if getattr(self, name)]
        if len(named) != 1:
            raise ValueError(f"{self.name!r} needs one of {', '.join(_TESTS)}, and has {', '.join(named) or 'none'}")
        if bool(self.points) == self.exclude:
            raise ValueError(f"{self.name!r} either gives points or has exclude = true")
        for name in ("below", "above"):
            if getattr(self, name) and not _numbers(getattr(self, name)):
                raise ValueError(f"{self.name!r}: {name} = {getattr(self, name)!r} is no number")
        try:
            re.compile(self.matches)
        except re.error as error:
            raise ValueError(f"{self.name!r}: {self.matches!r} is no regular expression: {error}") from error
        return self

    def line(self, cell: Cell) -> str | None:
        """The line of the cell for which it holds; None if it does not. A cell that is not found lacks everything."""
        lines = [one_line(span.text) for span in cell.spans]
        if self.lacks:
            has = any(self.lacks.casefold() in line.casefold() for line in lines)
            looked = f"none of {counted(len(lines), 'line')}" if lines else "no such line"
            return None if has else f"{looked} in {', '.join(dict.fromkeys(cell.read)) or 'no document'}"
        return next((line for line, fact in zip(lines, _values(cell), strict=True) if self._fits(line, fact)), None)

    def _fits(self, line: str, value: str) -> bool:
        if self.has:
            return self.has.casefold() in line.casefold()
        if self.matches:
            return re.search(self.matches, line) is not None
        if self.equals:
            return key_of(value) == key_of(self.equals)
        if self.before or self.after:
            day = _day(value)
            return day is not None and (day < self.before if self.before else day > (self.after or day))
        number, limit = _numbers(value), _numbers(self.below or self.above)
        return bool(number) and (number < limit if self.below else number > limit)


class FollowUp(Part):
    """A message that is due so many days after somebody became a lead."""

    step: str = Field(min_length=1, max_length=60, pattern=r"^[\w .-]+$")
    after_days: int = Field(ge=0, le=3650)
    text: str = Field(min_length=1, max_length=5000)


class Rubric(Artifact):
    """What makes a lead, what is said to one, and when."""

    rules: tuple[Rule, ...] = Field(min_length=1, max_length=100)
    minimum: int = Field(default=1, description="Points from which on it is a lead")
    columns: tuple[str, ...] = Field(default=(), description="What else is found out of each")
    named: str = Field(default="", description="Only those of whom a document holds this text are looked at")
    draft: str = Field(default="", max_length=5000, description="The first message; {Column} stands for a cell's value")
    followups: tuple[FollowUp, ...] = Field(default=(), max_length=20)

    @field_validator("rules")
    @classmethod
    def _check_names(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        if twice := [rule.name for place, rule in enumerate(rules) if rule.name in {r.name for r in rules[:place]}]:
            raise ValueError(f"two rules are called {twice[0]!r}")
        return rules

    @classmethod
    def read(cls, path: str) -> Self:
        """The rubric in a TOML file; SettingsError says what is wrong with it."""
        try:
            return cls.model_validate(tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8")))
        except ValidationError as error:
            problem = f"{path!r} is no rubric: {_told(error)}"
        except (OSError, ValueError) as error:
            problem = f"{path!r} cannot be read: {getattr(error, 'strerror', None) or error}"
        raise SettingsError("--rubric", problem, "See docs/leads.md.")

    @property
    def sha256(self) -> str:
        return digest(self.model_dump(mode="json"))

    def told(self) -> str:
        """No more than its size, as whoever finds out what it asks, or writes to a lead, is told the rest."""
        return self.brief()

    def brief(self) -> str:
        return f"{counted(len(self.rules), 'rule')}, {counted(len(self.asked), 'column')}."

    def fits(self, texts: Iterable[str]) -> bool:
        """Whether somebody whom these documents are about is to be looked at."""
        return not self.named or any(self.named.casefold() in text.casefold() for text in texts)

    @property
    def asked(self) -> tuple[Column, ...]:
        """The columns of its table: those of its rules, of its texts, and the others; each once."""
        texts = (self.draft, *(one.text for one in self.followups))
        told = [name for text in texts for name in placeholders(text) if key_of(name) != "name"]
        named = (*(rule.column for rule in self.rules), *self.columns, *told)
        listed = {key_of(rule.column) for rule in self.rules if rule.has or rule.lacks or rule.matches}
        found: dict[str, Column] = {}
        for name in named:
            column = column_of(name)
            many = column.many or (key_of(name) in listed and not column.labels)
            found.setdefault(key_of(name), column.model_copy(update={"many": many}))
        return tuple(found.values())


class Point(Part):
    """What a rule gave, and for which line."""

    rule: str
    points: int
    cell: int = Field(description="Number of the cell in the table")
    line: str = Field(description="The line that gave it, or where none was found")


class Score(Part):
    """What a row comes to."""

    row: str
    total: int
    points: tuple[Point, ...] = ()
    excluded: str = Field(default="", description="The rule that excludes it, and for which line")
    open: tuple[str, ...] = Field(default=(), description="Rules that could not be told, and why")

    @property
    def told(self) -> str:
        """Its points, each with its line."""
        return "; ".join(f"{point.points:+} {point.rule} ({point.line})" for point in self.points)


class Scores(Artifact):
    """What the rows of a table come to, the best first."""

    scores: tuple[Score, ...]
    minimum: int

    @property
    def leads(self) -> tuple[Score, ...]:
        """Those that are enough."""
        return tuple(one for one in self.scores if not one.excluded and one.total >= self.minimum)

    @property
    def others(self) -> tuple[Score, ...]:
        """Those that are neither leads nor excluded."""
        return tuple(one for one in self.scores if not one.excluded and one.total < self.minimum)

    def brief(self) -> str:
        out = sum(bool(one.excluded) for one in self.scores)
        rows = counted(len(self.scores), "row")
        return f"{len(self.leads)} of {rows} have {self.minimum} or more points; {out} excluded."


def score(rubric: Rubric, table: Table) -> Scores:
    """Hold each row against each rule, and add up."""
    found = [_score(rubric, table, row) for row in table.rows]
    return Scores(scores=tuple(sorted(found, key=lambda one: (bool(one.excluded), -one.total))), minimum=rubric.minimum)


def _score(rubric: Rubric, table: Table, row: str) -> Score:
    cells = {key_of(cell.column): cell for cell in table.row(row)}
    points, open_, excluded = list[Point](), list[str](), ""
    for rule in rubric.rules:
        cell = cells[key_of(rule.column)]
        if cell.state == "look-up failed" or (cell.state == "contradiction" and not (rule.has or rule.lacks)):
            open_.append(f"{rule.name}: {cell.shown}")
        elif (line := rule.line(cell)) is not None and rule.exclude:
            excluded = excluded or f"{rule.name}: {line}"
        elif line is not None:
            points.append(Point(rule=rule.name, points=rule.points, cell=table.number(cell), line=line))
    total = sum(point.points for point in points)
    return Score(row=row, total=total, points=tuple(points), excluded=excluded, open=tuple(open_))


def placeholders(text: str) -> tuple[str, ...]:
    """The columns that a text names: `{Version}`."""
    return tuple(dict.fromkeys(name.strip() for name in _PLACEHOLDER.findall(text)))


def fill(text: str, row: str, table: Table) -> tuple[str, tuple[int, ...]]:
    """A text with the values of a row's cells, and their numbers; lines that name what is not found are left out."""
    cells, used, lines = {key_of(cell.column): cell for cell in table.row(row)}, list[int](), list[str]()
    values = {"name": row, **{key: cell.value for key, cell in cells.items()}}
    for line in text.splitlines():
        named = [key_of(name) for name in placeholders(line)]
        if all(values[name] for name in named):
            used += [table.number(cells[name]) for name in named if name in cells]
            lines.append(_PLACEHOLDER.sub(lambda hit: values[key_of(hit[1])], line))
    return "\n".join(lines).strip(), tuple(dict.fromkeys(used))


def _told(error: ValidationError) -> str:
    """The first thing that is wrong with a rubric, and where."""
    first = error.errors()[0]
    place = [f"[{part + 1}]" if isinstance(part, int) else str(part) for part in first["loc"]]
    where = ".".join(place).replace(".[", "[")
    if first["type"] == "missing":
        return f"{where} is missing"
    if first["type"] == "extra_forbidden":
        kinds: dict[str, type[Part] | type[Artifact]] = {"rules": Rule, "followups": FollowUp}
        kind = kinds.get(place[0], Rubric) if len(place) > 1 else Rubric
        return f"{where} is nothing that is known there; what is: {', '.join(kind.model_fields)}"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"


def _values(cell: Cell) -> Iterator[str]:
    """For each span of the cell the value that it states: of a list its own line."""
    for fact in cell.facts:
        parts: Sequence[str] = fact.value.split("; ") if len(fact.spans) > 1 else (fact.value,)
        yield from (parts if len(parts) == len(fact.spans) else [fact.value] * len(fact.spans))


def _numbers(text: str) -> tuple[int, ...]:
    """The first number or version in a text: `≥ 3.10` is (3, 10)."""
    found = re.search(r"\d+(?:\.\d+)*", text.replace(",", ""))
    return tuple(map(int, found[0].split("."))) if found else ()


def _day(text: str) -> date | None:
    found: Any = re.search(r"\d{4}(?:-\d\d(?:-\d\d)?)?", text)
    if not found:
        return None
    parts = [int(part) for part in found[0].split("-")]
    try:
        return date(*([*parts, 1, 1])[:3])
    except ValueError:
        return None
