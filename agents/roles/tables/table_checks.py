"""What code can check about a table, and about prose that cites its cells: spans, counts, numbers and names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from signoff.agents.artifacts import Cell, Check, Quote, Table, key_of
from signoff.agents.citations import CITATION, cited_ids, unescape, without_citations
from signoff.agents.claims import unsupported
from signoff.agents.extractive.sentences import split
from signoff.tools.errors import UnknownSource
from signoff.tools.search import STOP_WORDS, Library

_COUNTING: Final = re.compile(
    r"(?<!\S)(?P<some>\d+) of (?:the )?(?P<all>\d+)\b|(?<!\S)(?P<rows>\d+) (?=rows|companies)"
)
_DENIAL: Final = re.compile(r"\b(?:not|no|never|without|lacks?|cannot|none|neither|nor)\b|n['’]t\b", re.IGNORECASE)
_MARKS: Final = re.compile(r"^[ \t]*(?:[-*+>]|\d{1,3}[.)])[ \t]+|[*`]|(?<!\w)_|_(?!\w)")
_OPENING: Final = re.compile(r"([A-Z][\w-]*)")
_OPENERS: Final = frozenset(
    """
    all almost although among another apart as at because beside besides both but by compared despite each either even
    every few fewer for from half however if in it its less like many more most much neither no nobody none nothing of
    on one only other otherwise out over same several since so some still such than that their there therefore these
    they this those though three two under unlike until what where whereas which while who with within without yet four
    five six seven eight nine ten eleven twelve
    """.split()
)
"""Words that open a sentence and name nobody."""
_TOLD: Final = 5
"""Faults that are named."""


def check_table(table: Table, sources: Library) -> tuple[Check, ...]:
    """Whether there is a cell for each row and column, and each span stands in the stored text that it was found in."""
    cells = len(table.rows) * len(table.columns)
    moved = list(_moved(table, sources))
    empty = [cell for cell in table.cells if cell.state in ("not found", "look-up failed") and cell.facts]
    spans = sum(len(cell.spans) for cell in table.cells)
    return (
        Check(
            name=f"There is a cell for each row and column ({len(table.rows)} × {len(table.columns)} = {cells}).",
            passed=len(table.cells) == cells and not empty,
        ),
        Check(
            name=f"Every span stands byte for byte in its stored document ({spans} spans).",
            passed=not moved,
            detail=_named(moved),
        ),
    )


def _moved(table: Table, sources: Library) -> Iterator[str]:
    @cache
    def stored(source: str) -> tuple[str, str]:
        try:
            text = sources.text(source)
        except UnknownSource:
            return "", ""
        return text, hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    for cell in table.cells:
        for span in cell.spans:
            text, digest = stored(span.source)
            if not digest:
                yield f"[{table.number(cell)}] {span.source} is gone"
            elif digest != span.sha256:
                yield f"[{table.number(cell)}] {span.source} was changed since"
            elif text[span.start : span.start + len(span.text)] != span.text:
                yield f"[{table.number(cell)}] {span.source} has no such text at {span.start}"


def check_prose(prose: str, table: Table) -> Check:
    """Whether each number and name in a text stands in a cell that is cited beside it."""
    faults = unmapped(prose, table)
    return Check(
        name="Every number and name in the text is in a cell cited there.", passed=not faults, detail=_named(faults)
    )


def unmapped(prose: str, table: Table) -> list[str]:
    """Sentences with a number, a name or a claim that no cell cited in them has, and why; of Markdown without tables.

    What is cited is a cell's number: [12]. A row is named by what its cells are about, a number of cells by citing as
    many; headings state nothing.
    """
    about = " ".join((table.title, *(f"{column.name} {column.about}" for column in table.columns)))
    faults = []
    for sentence in _sentences(prose):
        plain = " ".join(without_citations(sentence).split())
        ids = cited_ids(sentence)
        cells = [cell for id in ids if (cell := table.numbered(id)) is not None]
        if len(cells) < len(ids):
            faults.append(f"“{plain}” cites a cell that is not in the table")
            continue
        named = table.named_in(plain)
        strange = [row for row in named if row not in {cell.row for cell in cells}]
        if strange and not _is_of_no_cell(strange, table):
            faults.append(f"“{plain}” speaks of {strange[0]} and cites no cell of it")
            continue
        quotes = [_as_quote(cell, table) for cell in cells]
        known = " ".join((about, *strange, *(quote.text for quote in quotes)))
        problems = unsupported(_without_counts(plain, cells, table), quotes, f"{about} {' '.join(strange)}")
        problems += _opening_name(plain, known)
        if (
            cells
            and all(cell.state == "found" for cell in cells)
            and _DENIAL.search(plain)
            and not _DENIAL.search(known)
        ):
            problems.append("it denies what is found")
        faults += [f"“{plain}”: {problem}" for problem in problems[:1]]
    return faults


def _opening_name(plain: str, known: str) -> list[str]:
    """The word that a sentence opens with, if it may be a name and stands nowhere in what is known."""
    first = _OPENING.match(plain)
    word = key_of(first[1]) if first else ""
    if not word or word in STOP_WORDS or word in _OPENERS or f" {word} " in f" {key_of(known)} ":
        return []
    return [f"“{plain.split()[0]}” stands nowhere in it"]


def _is_of_no_cell(rows: Sequence[str], table: Table) -> bool:
    """Whether nothing at all is known of these rows, so that there is no cell to cite."""
    return all(not cell.facts for row in rows for cell in table.row(row))


def _sentences(prose: str) -> Iterator[str]:
    fenced = False
    for line in prose.split("\n"):
        fenced ^= line.startswith("```")
        if fenced or line.startswith(("#", "|", "```")) or not line.strip():
            continue
        text = unescape(_MARKS.sub("", _MARKS.sub("", line)))
        held = ""
        for part in split(text):  # a citation behind the full stop belongs to what is before it
            if held and not CITATION.match(part.text.strip()):
                yield held
                held = ""
            held = f"{held} {part.text}".strip()
        if held:
            yield held


def _without_counts(plain: str, cells: Sequence[Cell], table: Table) -> str:
    """The sentence without numbers that only count what is cited, or the table's rows."""
    cited, rows = {str(len(cells)), str(len({cell.row for cell in cells}))}, {str(len(table.rows))}

    def left(found: re.Match[str]) -> str:
        right = found["rows"] in rows if found["rows"] else found["some"] in cited and found["all"] in rows
        return "" if right else found[0]

    return _COUNTING.sub(left, plain)


def _as_quote(cell: Cell, table: Table) -> Quote:
    """What a cell says, as a sentence."""
    said = (
        " ".join(f"{cell.row}: {cell.column} is {fact.value}." for fact in cell.facts) or f"{cell.row}: {cell.shown}."
    )
    spans = " ".join(span.text for span in cell.spans)
    return Quote(id=table.number(cell), text=f"{said} {spans}", source=cell.row, start=0, title=cell.column)


def _named(faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - _TOLD} more" if len(faults) > _TOLD else ""
    return "; ".join(faults[:_TOLD]) + more
