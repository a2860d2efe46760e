"""A table whose cells carry their evidence: what is found, where it stands, and what is not known and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from signoff.agents.artifacts.artifact import Artifact, Part
from signoff.agents.artifacts.values import Kind, alike, key_of
from signoff.wording import counted, one_line

State = Literal["found", "not found", "look-up failed", "contradiction"]
"""What is known of a cell. Not found: not in the sources that were read; look-up failed: they could not be read."""


class Column(Part):
    """What every row is asked."""

    name: str = Field(min_length=1, max_length=120, description="Its heading")
    about: str = Field(default="", max_length=500, description="What it means, for people and models")
    labels: tuple[str, ...] = Field(default=(), description="Other names under which documents state it")
    kind: Kind = Field(default="text", description="How its values are written and compared")
    many: bool = Field(
        default=False, description="Whether a row has several values, which do not contradict each other"
    )


class Span(Part):
    """Where a value stands: the exact span of a stored text."""

    source: str = Field(description="Path of the document in the sources folder; or `web:…`, a snapshot")
    start: int = Field(ge=0, description="Offset of its first character in the stored text")
    text: str = Field(min_length=1, description="The span, byte for byte")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Digest of the whole stored text, in UTF-8")
    date: str = Field(description="When that was read or fetched, as 2026-11-30")
    origin: str = Field(default="", description="Of a page of the web: its address, and when it was fetched")


class Fact(Part):
    """One value, and everywhere it is stated."""

    value: str = Field(min_length=1, description="The value, written as all of its kind are")
    spans: tuple[Span, ...] = Field(min_length=1)


class Cell(Part):
    """What is known of one column of one row."""

    row: str
    column: str
    state: State
    facts: tuple[Fact, ...] = Field(default=(), description="One if found, two or more if they contradict each other")
    read: tuple[str, ...] = Field(default=(), description="The sources that were read for it")
    problem: str = Field(default="", description="Why the look-up failed")

    @model_validator(mode="after")
    def _check_state(self) -> Self:
        values = {fact.value for fact in self.facts}
        right = {
            "found": len(self.facts) == 1,
            "contradiction": len(self.facts) > 1 and len(values) == len(self.facts),
            "not found": not self.facts,
            "look-up failed": not self.facts and bool(self.problem),
        }
        if not right[self.state]:
            told = counted(len(self.facts), "fact") + (f" and the problem {self.problem!r}" if self.problem else "")
            raise ValueError(f"a cell that is {self.state!r} cannot have {told} ({self.row}, {self.column})")
        return self

    @classmethod
    def settle(cls, row: str, column: Column, facts: Sequence[Fact], read: Sequence[str] = ()) -> Self:
        """The cell that these facts make: those that say the same are one, and what differs is a contradiction."""
        joined = _listed(facts) if column.many else tuple(_joined(group) for group in _groups(facts, column.kind))
        if column.kind == "prose":
            joined = tuple(facts[:1])
        states: tuple[State, ...] = ("not found", "found", "contradiction")
        state = states[min(len(joined), 2)]
        return cls(row=row, column=column.name, state=state, facts=joined, read=tuple(dict.fromkeys(read)))

    @classmethod
    def failed(cls, row: str, column: Column, problem: str, read: Sequence[str] = ()) -> Self:
        """The cell of a look-up that failed, for a reason."""
        return cls(row=row, column=column.name, state="look-up failed", problem=problem, read=tuple(read))

    @property
    def value(self) -> str:
        """The value; empty unless it is found."""
        return self.facts[0].value if self.state == "found" else ""

    @property
    def shown(self) -> str:
        """One line for people, whatever the state."""
        if self.state == "contradiction":
            return f"contradiction: {' / '.join(one_line(fact.value) for fact in self.facts)}"
        return one_line(self.value) if self.state == "found" else self.state

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(span for fact in self.facts for span in fact.spans)


class Cells(Artifact):
    """The cells of one row: what is given for one item, where a table is filled item by item."""

    cells: tuple[Cell, ...]

    def brief(self) -> str:
        return _counted_states(self.cells)


class Change(Part):
    """What is otherwise than in the table before."""

    row: str
    column: str = Field(default="", description="Empty: the whole row is new, or gone")
    before: str
    now: str


class Table(Artifact):
    """Rows and columns, and a cell for each. Subclass it for a name of your own among a team's artifacts."""

    title: str
    columns: Annotated[tuple[Column, ...], Field(min_length=1)]
    rows: tuple[str, ...]
    cells: tuple[Cell, ...] = Field(description="Row by row, in the order of the columns")

    @model_validator(mode="after")
    def _check_cells(self) -> Self:
        for what, names in (("row", self.rows), ("column", tuple(column.name for column in self.columns))):
            if twice := [name for name, number in Counter(names).items() if number > 1]:
                raise ValueError(f"the {what} {twice[0]!r} is there twice")
        wanted = list(product(self.rows, (column.name for column in self.columns)))
        given = [(cell.row, cell.column) for cell in self.cells]
        if given != wanted:
            missing, extra = Counter(wanted) - Counter(given), Counter(given) - Counter(wanted)
            named = (
                f"missing {next(iter(missing))}" if missing else f"not wanted {next(iter(extra))}" if extra else "order"
            )
            rows, columns = counted(len(self.rows), "row"), counted(len(self.columns), "column")
            raise ValueError(f"{rows} × {columns} are {len(wanted)} cells, not these {len(given)} ({named})")
        return self

    @classmethod
    def of(cls, title: str, columns: Sequence[Column], rows: Mapping[str, Sequence[Cell] | str]) -> Self:
        """The table of these rows; of one that failed there is why, and each of its cells is a look-up that failed.

        So an agent that works item by item joins what it was given:
        `Table.of(title, columns, {row.name: row.gave.cells if row.gave else row.problem for row in rows})`.
        """
        cells: list[Cell] = []
        for name, given in rows.items():
            if isinstance(given, str):
                cells += [Cell.failed(name, column, given or "no reason was given") for column in columns]
            else:
                cells += given
        return cls(title=title, columns=tuple(columns), rows=tuple(rows), cells=tuple(cells))

    def brief(self) -> str:
        rows, columns = counted(len(self.rows), "row"), counted(len(self.columns), "column")
        return f"{rows} × {columns}: {_counted_states(self.cells)}."

    def told(self) -> str:
        """What a model is shown: values and numbers of cells to cite, not their spans."""
        lines = [f"{self.title}. Cite a cell by its number, such as [1]."]
        for row in self.rows:
            lines.append(
                f"{row}: " + "; ".join(f"{cell.column} = {cell.shown} [{self.number(cell)}]" for cell in self.row(row))
            )
        return "\n".join(lines)

    def cell(self, row: str, column: str) -> Cell:
        """KeyError if there is no such row or column."""
        return self.cells[self._places[row, column]]

    def row(self, row: str) -> tuple[Cell, ...]:
        return tuple(self.cell(row, column.name) for column in self.columns)

    def only(self, row: str) -> Table:
        """The table of this row alone, its cells numbered anew; KeyError if there is no such row."""
        return Table(title=self.title, columns=self.columns, rows=(row,), cells=self.row(row))

    def number(self, cell: Cell) -> int:
        """The number of a cell, from 1, row by row: what [12] cites."""
        return self._places[cell.row, cell.column] + 1

    def numbered(self, number: int) -> Cell | None:
        return self.cells[number - 1] if 0 < number <= len(self.cells) else None

    def in_state(self, state: State) -> tuple[Cell, ...]:
        return tuple(cell for cell in self.cells if cell.state == state)

    def since(self, before: Table | None) -> tuple[Change, ...]:
        """What is otherwise than in an earlier table, which may have other rows and columns; nothing without one."""
        return () if before is None else tuple(_changes(before, self))

    def named_in(self, text: str) -> list[str]:
        """The rows that a text names."""
        said = f" {key_of(text)} "
        near = {name for word in said.split() for name in self._names.get(word, ()) if f" {name[1]} " in said}
        return [row for _, _, row in sorted(near)]

    @cached_property
    def _names(self) -> dict[str, list[tuple[int, str, str]]]:
        """By its first word each row's place and key; of those with the same key the last."""
        found: dict[str, list[tuple[int, str, str]]] = {}
        for place, (key, row) in enumerate({key_of(row): row for row in self.rows}.items()):
            found.setdefault(key.partition(" ")[0], []).append((place, key, row))
        return found

    @cached_property
    def _places(self) -> dict[tuple[str, str], int]:
        return {(cell.row, cell.column): place for place, cell in enumerate(self.cells)}


def _changes(before: Table, now: Table) -> Iterator[Change]:
    known, columns = set(before.rows), {column.name for column in before.columns}
    for row in now.rows:
        if row not in known:
            yield Change(row=row, before="", now="new")
            continue
        for cell in now.row(row):
            if cell.column not in columns:
                yield Change(row=row, column=cell.column, before="", now=cell.shown)
            elif (was := before.cell(row, cell.column)).shown != cell.shown:
                yield Change(row=row, column=cell.column, before=was.shown, now=cell.shown)
    for row in before.rows:
        if row not in set(now.rows):
            yield Change(row=row, before="was there", now="")


def _groups(facts: Sequence[Fact], kind: Kind) -> list[list[Fact]]:
    """The facts, those together that say the same."""
    groups = list[list[Fact]]()
    for fact in facts:
        same = (group for group in groups if all(alike(fact.value, other.value, kind) for other in group))
        if (group := next(same, None)) is None:
            groups.append([fact])
        else:
            group.append(fact)
    return groups


def _listed(facts: Sequence[Fact]) -> tuple[Fact, ...]:
    """One fact whose value is the list of all values, each once."""
    if not facts:
        return ()
    values = dict.fromkeys(fact.value for fact in facts)
    spans = dict.fromkeys(span for fact in facts for span in fact.spans)
    return (Fact(value="; ".join(values), spans=tuple(spans)),)


def _joined(facts: Sequence[Fact]) -> Fact:
    """One fact of several that say the same: the one that says most, with all spans, each once."""
    best = max(facts, key=lambda fact: len(fact.value))
    return Fact(value=best.value, spans=tuple(dict.fromkeys(span for fact in facts for span in fact.spans)))


def _counted_states(cells: Sequence[Cell]) -> str:
    count = Counter(cell.state for cell in cells)
    return ", ".join(
        f"{count[state]} {state}" for state in ("found", "not found", "look-up failed", "contradiction") if count[state]
    )
