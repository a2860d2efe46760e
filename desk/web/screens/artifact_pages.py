"""What a run has made: as much as a page holds, what its citations and cells rest on, and all of it as a file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from starlette.responses import Response

from signoff.agents import Draft, Table
from signoff.agents.artifacts import Evidence, Quote, Review, csv_of
from signoff.checkpoints.ledger import RunRecord
from signoff.desk.errors import NotThere
from signoff.desk.tables import amid, stored_of, tables_in
from signoff.desk.web.context import PageContext, Visit, query_of, run_at, screen
from signoff.fleet import Past, past_of, read_state
from signoff.fleet.errors import NoSuchStep
from signoff.tools.errors import UnknownSource

_MOST_ROWS: Final = 50
_AROUND: Final = 200
"""Characters that are shown before and after a quote."""
_SNAP: Final = 2_000
"""Characters within which a part of a text begins or ends with a line."""
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Room:
    """How much of what a run has made is shown at once."""

    characters: int
    """Of a text."""
    cells: int
    """Of all its tables together."""
    items: int
    """Of each list."""


ROOMS: Final = tuple(Room(24_000 >> step, 200 >> step, 60 >> step) for step in range(5))
"""One after the other, until the page is small enough."""


@dataclass(frozen=True)
class Excerpt:
    """A part of a text."""

    text: str
    begin: int
    """Offset of its first character."""
    end: int
    total: int
    before: int
    """Where the part before this begins."""

    @property
    def is_whole(self) -> bool:
        return (self.begin, self.end) == (0, self.total)


@dataclass(frozen=True)
class Extract:
    """Some rows and columns of a table."""

    table: Table
    columns: int
    begin: int
    """The first row, from 0."""
    end: int
    before: int
    """Where the rows before these begin."""


def state_of(visit: Visit, record: RunRecord) -> Mapping[str, Any]:
    """What the run's graph had at the step that is asked for, or its last; empty where another program keeps that."""
    past = past_at(visit, record)
    if past is not None:
        return past.state
    return read_state(record.root, visit.context.settings, record.place) if is_kept_here(visit, record) else {}


def past_at(visit: Visit, record: RunRecord) -> Past | None:
    """The step of the run that the address asks for; None: it asks for how it stands now."""
    at = query_of(visit, "at")["at"]
    if not at:
        return None
    if not is_kept_here(visit, record):
        raise NoSuchStep(record.id, at)
    return past_of(record.root, at, visit.context.settings, record.place)


def is_kept_here(visit: Visit, record: RunRecord) -> bool:
    """Whether what the run's graph had is kept here, and not by another program."""
    root = visit.ledger.runs.get(record.root) if record.path else record
    return root.driver == "local"


@dataclass(frozen=True)
class Made:
    """What a run has made, by what it can be shown as."""

    draft: Draft | None
    quotes: Sequence[Quote]
    review: Review | None
    tables: Mapping[str, Table]
    others: Mapping[str, Any]

    def extracts(self, first_row: int, room: Room) -> dict[str, Extract]:
        """As many rows and columns of each table as there is room for, from this row on."""
        each = max(1, room.cells // max(1, len(self.tables)))
        found = {}
        for name, table in self.tables.items():
            columns = min(len(table.columns), each)
            begin = first_row if first_row < len(table.rows) else 0
            rows = min(max(1, each // max(1, columns)), _MOST_ROWS)
            found[name] = Extract(table, columns, begin, min(begin + rows, len(table.rows)), max(0, begin - rows))
        return found


def made_in(state: Mapping[str, Any]) -> Made:
    """The artifacts of a state; what is of no known kind is among the others."""
    stored = {name: one["value"] for name, one in (state.get("artifacts") or {}).items()}
    tables, others = tables_in(state), dict[str, Any]()
    draft, quotes, review = None, tuple[Quote, ...](), None
    for name, value in stored.items():
        try:
            match name:
                case "Draft":
                    draft = Draft.model_validate(value)
                case "Evidence":
                    quotes = Evidence.model_validate(value).quotes
                case "Review":
                    review = Review.model_validate(value)
                case _ if name not in tables:
                    others[name] = value
        except ValidationError:  # a team's own of that name
            others[name] = value
    return Made(draft, quotes, review, tables, others)


def excerpt(text: str, begin: int, most: int) -> Excerpt:
    """A part of a Markdown text that is read by itself: whole lines, and code that began before it is code in it."""
    begin = begin if 0 < begin < len(text) else 0
    begin = text.rfind("\n", max(0, begin - _SNAP), begin) + 1 or begin
    end = min(begin + most, len(text))
    if end < len(text):
        ends = (text.rfind(mark, max(begin, end - _SNAP), end) + len(mark) for mark in ("\n\n", "\n"))
        end = next((one for one in ends if one > begin + 2), end)
    return Excerpt(f"{_open_fence(text, begin)}{text[begin:end]}", begin, end, len(text), max(0, begin - most))


def _open_fence(text: str, end: int) -> str:
    """The line that opened the block of code in which this place stands; empty if it stands in none."""
    opened = ""
    for found in _FENCE.finditer(text, 0, end):
        mark, told = found[1], found[2].strip()
        if not opened:
            opened = "" if mark[0] == "`" and "`" in told else f"{mark}{told}\n"
        elif opened.startswith(mark[0]) and not told and len(mark) >= len(opened) - len(opened.lstrip(mark[0])):
            opened = ""
    return opened


@screen
def artifact(visit: Visit) -> Response:
    """All of an artifact as a file: a text as it is, a table for spreadsheets, or anything as JSON."""
    record, name = run_at(visit), visit.request.path_params["name"]
    stored = (state_of(visit, record).get("artifacts") or {}).get(name)
    if stored is None:
        raise NotThere("artifact")
    table, value = tables_in({"artifacts": {name: stored}}).get(name), stored["value"]
    if visit.request.query_params.get("as") == "json":
        return send_file(
            f"{record.id}-{name}", "json", "application/json", json.dumps(value, ensure_ascii=False, indent=1)
        )
    if table is not None:
        return send_file(f"{record.id}-{name}", "csv", "text/csv", csv_of(table))
    if isinstance(value, Mapping) and isinstance(value.get("markdown"), str):
        return send_file(f"{record.id}-{name}", "md", "text/markdown", value["markdown"])
    return send_file(f"{record.id}-{name}", "json", "application/json", json.dumps(value, ensure_ascii=False, indent=1))


def send_file(name: str, suffix: str, kind: str, text: str) -> Response:
    """A text as a file to be kept."""
    called = re.sub(r"[^A-Za-z0-9.-]+", "_", name)[:100]
    headers = {"content-disposition": f'attachment; filename="{called}.{suffix}"', "cache-control": "no-store"}
    return Response(text.encode("utf-8", "replace"), headers=headers, media_type=f"{kind}; charset=utf-8")


@screen
def cell(visit: Visit) -> Response:
    """What a cell of a table rests on, each span amid its document."""
    record = run_at(visit)
    found = tables_in(state_of(visit, record)).get(visit.request.path_params["table"])
    if found is None:
        raise NotThere("table")
    opened = found.numbered(visit.request.path_params["number"])
    if opened is None:
        raise NotThere("cell")
    stored = stored_of(record, visit.context.settings)
    facts = [(fact.value, [amid(span, stored) for span in fact.spans]) for fact in opened.facts]
    return visit.render("parts/cell.html", cell=opened, facts=facts)


@screen
def quote(visit: Visit) -> Response:
    """A quote amid its document."""
    record, number = run_at(visit), visit.request.path_params["number"]
    found = next((one for one in made_in(state_of(visit, record)).quotes if one.id == number), None)
    if found is None:
        raise NotThere("quote")
    return visit.render("parts/quote.html", quote=found, amid=_around(visit.context, record, found))


def _around(context: PageContext, record: RunRecord, found: Quote) -> tuple[str, str] | None:
    """What stands before and after a quote, if it still stands where it was found."""
    try:
        text = stored_of(record, context.settings)(found.source)
    except UnknownSource:
        return None
    end = found.start + len(found.text)
    if found.start < 0 or text[found.start : end] != found.text:
        return None
    return text[max(0, found.start - _AROUND) : found.start], text[end : end + _AROUND]
