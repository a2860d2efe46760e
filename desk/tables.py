"""Tables at the terminal: all that a run has made, and what one of their cells rests on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from signoff.agents import Cell, Table
from signoff.agents.artifacts import Span
from signoff.checkpoints.ledger import RunRecord
from signoff.desk.cli.terminal import command, print_json, row, say, table
from signoff.error_base import SettingsError
from signoff.settings import Settings
from signoff.tools.errors import SourcesMissing, UnknownSource
from signoff.tools.search import Sources
from signoff.tools.web import Snapshots
from signoff.wording import counted, one_line

_MOST_ROWS: Final = 50
"""At a terminal; what is piped has all."""
_LONGEST: Final = 60
"""Characters of a value in a table at the terminal."""
_AROUND: Final = 200
"""Characters of the document that are shown before and after a span."""
_FIELDS: Final = ("title", "columns", "rows", "cells")
_WEB: Final = "web:"

Stored = Callable[[str], str]
"""The stored text of a source; UnknownSource if there is none."""


def tables_in(state: Mapping[str, Any]) -> dict[str, Table]:
    """The tables among a run's artifacts, by name; whatever class they are of in their team."""
    found = {}
    for name, stored in (state.get("artifacts") or {}).items():
        with suppress(KeyError, ValidationError):  # something else of this shape is no table
            found[name] = Table.model_validate({field: stored["value"][field] for field in _FIELDS})
    return found


def show_tables(console: Console, run: str, found: Mapping[str, Table]) -> None:
    """Print them, each cell with the number by which it is opened."""
    for name, made in found.items():
        shown = table(name, *(column.name for column in made.columns))
        rows = made.rows[:_MOST_ROWS] if console.is_terminal else made.rows
        for each in rows:
            row(shown, each, *(_short(made, cell) for cell in made.row(each)))
        console.print(shown)
        say(console, made.brief())
        if len(made.rows) > len(rows):
            all_of_it = f"{command()} show {run} | less"
            say(console, f"The first {_MOST_ROWS} of {counted(len(made.rows), 'row')}; all of them: {all_of_it}")
        if any(cell.facts for cell in made.cells):
            say(console, f"What a cell rests on: {command()} show {run} --cell NUMBER")


def open_cell(record: RunRecord, settings: Settings, number: int, *, json: bool) -> None:
    """Print what a cell of a run's tables rests on; SettingsError if there is no such cell."""
    from signoff.fleet import read_state

    found = tables_in(read_state(record.id, settings) if record.driver == "local" else {})
    if not json:
        return show_cell(Console(), found, number, stored_of(record, settings))
    cells = {name: made.numbered(number) for name, made in found.items()}
    return print_json({name: cell.model_dump(mode="json") for name, cell in cells.items() if cell is not None})


def show_cell(console: Console, found: Mapping[str, Table], number: int, stored: Stored) -> None:
    """Print what one cell rests on, each span amid its document; SettingsError if there is no such cell."""
    cells = [(name, cell) for name, made in found.items() if (cell := made.numbered(number)) is not None]
    if not cells:
        most = max((len(made.cells) for made in found.values()), default=0)
        have = f"Its cells are 1 to {most}." if most else "It has made no table."
        raise SettingsError("--cell", f"the run has no cell {number}", have)
    for name, cell in cells:
        say(console, f"{name} [{number}] {cell.row}, {cell.column}: {cell.shown}", "bold")
        for fact in cell.facts:
            say(console, f"  {fact.value}")
            for span in fact.spans:
                console.print(Padding(_in_print(amid(span, stored)), (0, 0, 0, 4)), highlight=False)
        if not cell.facts:
            say(console, f"  {cell.problem or _read(cell)}")


def stored_of(record: RunRecord, settings: Settings) -> Stored:
    """What gives the stored texts of a run's sources."""
    folder = str(record.input.get("sources") or record.options.get("sources") or settings.sources or "")

    def stored(source: str) -> str:
        if source.startswith(_WEB):
            return Snapshots(settings.home).text(source)
        try:
            sources = Sources.open(Path(folder), home=settings.home) if folder else None
        except SourcesMissing:
            sources = None
        if sources is None:
            raise UnknownSource(source)
        return sources.text(source)

    return stored


def _short(made: Table, cell: Cell) -> str:
    shown = cell.shown if len(cell.shown) <= _LONGEST else f"{cell.shown[: _LONGEST - 1]}…"
    return f"{shown} [{made.number(cell)}]" if cell.facts else shown


def _read(cell: Cell) -> str:
    return f"read: {', '.join(cell.read)}" if cell.read else "no document is about it"


@dataclass(frozen=True)
class Amid:
    """A span as it stands in its document."""

    before: str
    text: str
    after: str
    where: str
    note: str
    """Whether the document is still what was read."""


def amid(span: Span, stored: Stored) -> Amid:
    """The span with what stands around it, if the document still is what was read."""
    text = ""
    try:
        text = stored(span.source)
        same = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() == span.sha256
        note = "as it was read" if same else "changed since it was read: the span is shown as it was"
    except UnknownSource:
        same, note = False, "gone: the span is shown as it was"
    end = span.start + len(span.text)
    return Amid(
        before=text[max(0, span.start - _AROUND) : span.start] if same else "",
        text=span.text,
        after=text[end : end + _AROUND] if same else "",
        where=f"{span.origin or f'{span.source}, {span.date}'}, from character {span.start}",
        note=f"digest {span.sha256[:12]}; the document is {note}",
    )


def _in_print(found: Amid) -> Text:
    before, after, shown = found.before, found.after, Text()
    shown.append(f"…{one_line(before)}{' ' if before[-1:].isspace() else ''}" if before else "", "dim")
    shown.append(one_line(found.text), "bold underline")
    shown.append(f"{' ' if after[:1].isspace() else ''}{one_line(after)}…" if after else "", "dim")
    shown.append(f"\n{one_line(found.where)}, {found.note}")
    return shown
