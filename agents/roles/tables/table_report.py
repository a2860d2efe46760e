"""A report of a table: its writer and its reviewer. Code makes all of it but the overview, and can make it again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, Field, ValidationError

from signoff.agents.agent import Agent, Propose, Task
from signoff.agents.artifacts import (
    Artifact,
    Cell,
    Check,
    Column,
    Draft,
    Review,
    Span,
    Table,
    csv_of,
    evidence,
    evidence_csv,
    markdown,
    xlsx_of,
)
from signoff.agents.models.registry import Tiers
from signoff.agents.roles.prompts import prompt
from signoff.agents.roles.tables.table_checks import check_prose, check_table, unmapped
from signoff.checkpoints import digest
from signoff.tools import Action, Attachment
from signoff.tools.analysis import Labels, QueryResult, alternative, can_draw, draw
from signoff.tools.search import Library
from signoff.tools.storage import Blobs
from signoff.wording import as_words, counted

T = TypeVar("T", bound=Table)

_OVERVIEW: Final = "## Overview\n\n"
_TABLE: Final = "\n\n## Table\n\n"
_MOST_GROUPS: Final = 6
"""Different values of a column that an overview sorts the rows by."""
_MOST_NAMED: Final = 12
"""Rows that it names of one value; of more it names the first."""
_PICTURES: Final = "Pictures"
_MOST_PICTURES, _FEWEST_BARS, _MOST_BARS = 3, 3, 40
_NUMBER: Final = re.compile(
    r"(?P<before>[^\d<>≥≤~-]*)(?P<number>\d+|\d{1,3}(?:,\d{3})+)(?P<part>\.\d+)?(?P<after>[^\d<>≥≤~+-]*)"
)
"""A value that is a number, and what stands around it: the same in all values of a column that is drawn."""
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")

More = Callable[[Task], Mapping[str, str]]
"""Further sections of a report: Markdown by heading; what is empty is left out."""


class Said(BaseModel):
    """A sentence, and the cells that it rests on."""

    text: str = Field(max_length=500, description="One sentence in plain words, without citations")
    cells: list[int] = Field(max_length=24, description="Numbers of the cells that say so")


class Overview(BaseModel):
    """What somebody should know who reads only the beginning."""

    sentences: list[Said] = Field(max_length=16)


def _nothing_more(_task: Task) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, kw_only=True)
class TableReport(Generic[T]):
    """Reports of one kind of table: `writer` gives the Draft, `reviewer` the Review."""

    table: type[T]
    title: Callable[[T], str]
    corner: str = ""
    """What the rows are, such as 'company'."""
    needs: tuple[type[Artifact], ...] = ()
    """What `more` needs beside the table."""
    more: More = field(default=_nothing_more)

    def writer(self, *, model: BaseChatModel | Tiers | None = None) -> Agent[Draft]:
        """Writes the overview, sentence by sentence from cells; what they do not bear out is struck, and listed."""
        return Agent(
            role="writer",
            instructions=prompt("table_writer"),
            needs=(self.table, *self.needs),
            gives=Draft,
            function=lambda task: self._draft(task, "\n".join(_sorted_rows(task.need(self.table))), "extracted"),
            model=model,
            form=Overview,
            read=self._read,
        )

    def reviewer(
        self,
        library: Callable[[Task], Library],
        *,
        actions: Sequence[Action[Any]] = (),
        propose: Propose[Review] | None = None,
    ) -> Agent[Review]:
        """Checks spans, counts, and that each number and name in the overview stands in a cell that is cited there."""
        return Agent(
            role="reviewer",
            needs=(self.table, *self.needs, Draft),
            gives=Review,
            function=lambda task: self._review(task, library(task)),
            actions=tuple(actions),
            propose=propose,
        )

    def _read(self, overview: Overview, task: Task) -> Draft:
        table, kept, struck = task.need(self.table), list[str](), list[str]()
        for said in overview.sentences:
            cited = "".join(f" [{number}]" for number in dict.fromkeys(said.cells))
            sentence = f"{' '.join(as_words(said.text).split())}{cited}"
            faults = unmapped(sentence, table) if cited else ["it cites no cell"]
            if faults:
                struck.append(f"{said.text} ({faults[0]})")
            else:
                kept.append(f"- {sentence}")
        if struck:
            task.say(f"struck {counted(len(struck), 'sentence')} that no cell bears out")
        usual = "" if kept else "\n".join(_sorted_rows(table))  # what code says, rather than nothing
        return self._draft(task, "\n".join(kept) or usual, "generated" if kept else "extracted", struck)

    def _draft(self, task: Task, overview: str, method: Any, struck: Sequence[str] = ()) -> Draft:
        table = task.need(self.table)
        text = self._compose(table, overview, self.more(task), has_pictures=can_draw())
        return Draft(title=self.title(table), markdown=text, method=method, struck=tuple(struck))

    def _compose(self, table: T, overview: str, more: Mapping[str, str], *, has_pictures: bool) -> str:
        """The whole report: a function of the table, the overview and the further sections."""
        pictures = [f"![{alternative(one.title)}]({one.name})" for one in _sketches(table) if has_pictures]
        sections = {
            _PICTURES: "\n\n".join(pictures),
            "Contradictions": "\n".join(map(_line_of_sides, table.in_state("contradiction"))),
            "Not found in these sources": "\n".join(_gaps(table, "not found")),
            "Look-ups that failed": "\n".join(_gaps(table, "look-up failed")),
            **more,
            "Evidence": evidence(table),
        }
        first = (
            f"# {as_words(self.title(table))}\n\n{as_words(table.brief())}\n\n{_OVERVIEW}{overview or _silence(table)}"
        )
        told = [f"## {heading}\n\n{text}" for heading, text in sections.items() if text]
        return "\n\n".join([f"{first}{_TABLE}{markdown(table, self.corner)}", *told]) + "\n"

    def _review(self, task: Task, library: Library) -> Review:
        table, draft = task.need(self.table), task.need(Draft)
        overview = draft.markdown.partition(_OVERVIEW)[2].partition(_TABLE)[0]
        said, has_pictures = "" if overview == _silence(table) else overview, f"\n\n## {_PICTURES}\n" in draft.markdown
        same = self._compose(table, said, self.more(task), has_pictures=has_pictures) == draft.markdown
        checks = (
            *check_table(table, library),
            Check(name="The report is what code makes of the table, with this overview.", passed=same),
            check_prose(overview, table),
        )
        return Review.of(checks)


def table_before(table: type[T], report: str) -> T | None:
    """The table that stands beside a report from an earlier run; None if there is none that can be read."""
    file = Path(report).parent / f"{_stem(report)}.json"
    try:
        return table.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def _stem(report: str) -> str:
    return _ODD.sub("-", Path(report).stem).strip("-.")[:60] or "table"


def table_attachments(table: Table, report: str, blobs: Blobs, corner: str = "") -> tuple[Attachment, ...]:
    """The table as files that go beside a report: CSV, its evidence, a workbook, and JSON that `Table` reads again."""
    stem = _stem(report)
    files = {
        f"{stem}.csv": csv_of(table, corner).encode(),
        f"{stem}-evidence.csv": evidence_csv(table).encode(),
        f"{stem}.xlsx": xlsx_of(table, corner),
        f"{stem}.json": table.model_dump_json(indent=1).encode(),
    }
    return _attached(files, blobs)


def table_pictures(table: Table, text: str, blobs: Blobs) -> tuple[Attachment, ...]:
    """The pictures of the table's columns that a report shows, drawn."""
    return _attached({one.name: one.drawn() for one in _sketches(table) if f"({one.name})" in text}, blobs)


def _attached(files: Mapping[str, bytes], blobs: Blobs) -> tuple[Attachment, ...]:
    return tuple(Attachment(name=name, sha256=blobs.keep(raw), bytes=len(raw)) for name, raw in files.items())


@dataclass(frozen=True)
class _Sketch:
    """What a picture of one column shows, drawn or not."""

    title: str
    unit: str
    rows: tuple[tuple[str, float], ...]

    @property
    def name(self) -> str:
        """By what is drawn: whoever has no matplotlib knows it too."""
        return f"chart-{digest([self.title, self.unit, self.rows])[:12]}.png"

    def drawn(self) -> bytes:
        return draw("bar", QueryResult(("", self.unit), self.rows), Labels(title=self.title, y=self.unit)).png


def _sketches(table: Table) -> tuple[_Sketch, ...]:
    """The columns in which some rows have numbers of one kind, and not all the same, largest first."""
    found = []
    for column in table.columns if len(table.rows) <= _MOST_BARS else ():
        cells = [cell for row in table.rows if (cell := table.cell(row, column.name)).state == "found"]
        read = [_NUMBER.fullmatch(cell.value.strip()) for cell in cells] if column.kind in ("text", "number") else []
        numbers = [float(one["number"].replace(",", "") + (one["part"] or "")) for one in read if one is not None]
        units = {" ".join(f"{one['before']} {one['after']}".split()) for one in read if one is not None}
        if len(read) == len(numbers) >= _FEWEST_BARS and len(units) == 1 and len(set(numbers)) > 1:
            rows = sorted(zip((cell.row for cell in cells), numbers, strict=True), key=lambda one: -one[1])
            (unit,) = units
            found.append(_Sketch(f"{table.title}: {column.name}", unit or column.name, tuple(rows)))
    return tuple(found[:_MOST_PICTURES])


def _silence(table: Table) -> str:
    """Why there is no overview."""
    states = {cell.state for cell in table.cells}
    if states <= {"not found", "look-up failed"}:
        nothing = (
            "Nothing could be looked up." if states == {"look-up failed"} else "Nothing was found in these sources."
        )
        return f"*{nothing} What was read, and why it says nothing, stands below.*"
    if len(table.rows) < 2:
        return "*There is one row, so that nothing is compared.*"
    groups = [_by_value(table, column) for column in table.columns if column.kind != "prose"]
    if any(len(cells) > 1 for one in groups for cells in one.values()):
        return "*They differ in too many ways to be sorted here.*"
    return "*No two of them have the same value of anything.*"


def _sorted_rows(table: Table) -> Iterator[str]:
    """For each column in which rows have the same value: which ones have which."""
    for column in table.columns:
        groups = _by_value(table, column)
        if column.kind == "prose" or len(groups) > _MOST_GROUPS or len(groups) == sum(map(len, groups.values())):
            continue
        for value, cells in groups.items():
            named = ", ".join(f"{as_words(cell.row)} [{table.number(cell)}]" for cell in cells[:_MOST_NAMED])
            others = " and others" if len(cells) > _MOST_NAMED else ""
            yield f"- {as_words(column.name)}, {as_words(value)}: {named}{others}."


def _by_value(table: Table, column: Column) -> dict[str, list[Cell]]:
    """The cells of a column that are found, by their value, the most frequent first."""
    groups: dict[str, list[Cell]] = {}
    for row in table.rows:
        cell = table.cell(row, column.name)
        if cell.state == "found":
            groups.setdefault(cell.value, []).append(cell)
    return dict(sorted(groups.items(), key=lambda group: -len(group[1])))


def _line_of_sides(cell: Cell) -> str:
    sides = " against ".join(
        f"**{as_words(fact.value)}** ({', '.join(map(_quoted, fact.spans))})" for fact in cell.facts
    )
    return f"- {as_words(cell.row)}, {as_words(cell.column)}: {sides}"


def _quoted(span: Span) -> str:
    return f"“{as_words(span.text)}”, {as_words(span.origin or span.source)}"


def _gaps(table: Table, state: Any) -> Iterator[str]:
    """The cells in a state, row by row, with what was read or why it failed."""
    for (row, why), cells in groupby(table.in_state(state), key=lambda cell: (cell.row, cell.problem or _read(cell))):
        yield f"- {as_words(row)}: {', '.join(as_words(cell.column) for cell in cells)} ({as_words(why)})"


def _read(cell: Cell) -> str:
    return f"read: {', '.join(cell.read)}" if cell.read else "no document is about it"
