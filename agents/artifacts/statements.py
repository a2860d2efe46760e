"""What documents state of a column, by lines with a label, rows of tables and sentences; each with its exact span."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from signoff.agents.artifacts.table import Column, Fact, Span
from signoff.agents.artifacts.values import is_of_kind, normal
from signoff.tools.search import Library

_LINE: Final = re.compile(r"^[ \t]*(?:[-*+•>|][ \t]+)*(?P<body>\S[^\n]*)$", re.MULTILINE)
_PAIR: Final = re.compile(r"(?P<label>[^\s:：=;|<][^:：=;|<\n]{0,59}?)[ \t]*[:：][ \t]+(?P<value>\S.*)")
_FENCE: Final = re.compile(r"^[ \t]*(`{3,}|~{3,})[^`\n]*\n.*?(?:^[ \t]*\1|\Z)", re.MULTILINE | re.DOTALL)
_AS_CODE: Final = re.compile(r"(?P<quote>[\"'])[^\"']*(?P=quote),?|[\[{(].*")
"""A value that only code writes so."""
_CELL: Final = re.compile(r"[^;]+")
_WORDS: Final = re.compile(r"[^\W_]+")
_MOST_WORDS: Final = 6
"""Of a label."""
_LONGEST_VALUE: Final = 300
_LONGEST_ALONE: Final = 80
"""Characters of a line that is the value of the heading above it."""
_NOTHING: Final = frozenset("- – — n/a na none unknown tbd tba ? null nil todo".split())
"""What stands where nothing is stated."""


@dataclass(frozen=True)
class StoredText:
    """The text of a document as it is stored: spans point into it."""

    source: str
    text: str
    date: str
    """When the file was last changed, or the page fetched."""
    origin: str = ""
    code: tuple[tuple[int, int], ...] = ()
    """Where there is code, whose labels state nothing."""

    @classmethod
    def of(cls, library: Library, source: str) -> StoredText:
        """The document of a library; UnknownSource if it has none of this name."""
        origin, file = library.origin(source), library.folder / source
        date = origin.rpartition("fetched ")[2]
        if not date:
            moment = file.stat().st_mtime if file.is_file() else 0
            date = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
        code = [fence.span() for fence in _FENCE.finditer(library.text(source))]
        code += [(one.start, one.start + len(one.text)) for one in library.passages_of(source) if one.kind == "code"]
        return cls(source, library.text(source), date, origin, tuple(code))

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()

    def span(self, start: int, end: int) -> Span:
        text = self.text[start:end]
        return Span(source=self.source, start=start, text=text, sha256=self.sha256, date=self.date, origin=self.origin)

    @cached_property
    def stated(self) -> tuple[Stated, ...]:
        """Every label and what is stated under it, in reading order."""
        return tuple(_pairs(self))


@dataclass(frozen=True)
class Stated:
    """A label and its value, as a document has them."""

    label: str
    value: str
    start: int
    end: int
    """Of the whole statement in the stored text."""
    row: str = ""
    """Of a row of a table with several columns, its first cell: whom it is about."""


def column_of(name: str, about: str = "") -> Column:
    """The column that people ask for by this name, with what is known of where documents state it."""
    known = _known(name)
    labels, kind, many = known.get("labels", ()), known.get("kind", "text"), known.get("many", False)
    return Column(name=" ".join(name.split()), about=about, labels=tuple(labels), kind=kind, many=many)


def stated(
    column: Column, texts: Sequence[StoredText], *, about: str = "", shared: Sequence[StoredText] = ()
) -> list[Fact]:
    """What the texts state of a column: in lines with its label, in rows of tables, and in sentences of known kinds.

    `about` names whom it is asked of. Of the `shared` texts only those rows and columns of tables count that are about
    it, and of a table with several rows in any other text too.
    """
    keys = {key_of(name) for name in (column.name, *column.labels)}
    sentences = [re.compile(pattern, re.MULTILINE) for pattern in _known(column.name).get("sentences", ())]
    facts: list[Fact] = []
    for text in (*texts, *shared):
        found = [one for one in text.stated if _states(one, keys, about, in_row=text in shared)]
        spans = [(one.value, one.start, one.end) for one in found]
        for sentence in sentences if text not in shared else ():
            for match in sentence.finditer(text.text):
                taken = (*((start, end) for _, start, end in spans), *text.code)
                if not any(start <= match.start() and match.end() <= end for start, end in taken):
                    spans.append((match["value"], match.start(), match.end()))
        read = sorted(spans, key=lambda span: span[1])
        facts += [fact for value, start, end in read if (fact := _fact(column, value, text.span(start, end)))]
    return facts


def names_in(texts: Sequence[StoredText]) -> set[str]:
    """Keys of all that rows and columns of tables in these texts are about."""
    return {key_of(name) for text in texts for one in text.stated if one.row for name in (one.row, one.label)}


def labels_in(texts: Sequence[StoredText]) -> dict[str, str]:
    """The labels under which these texts state one thing each, by their key; what a text repeats is a list."""
    found: dict[str, str] = {}
    for text in texts:
        seen = dict[str, int]()
        for one in text.stated:
            seen[key_of(one.label)] = seen.get(key_of(one.label), 0) + 1
        for one in text.stated:
            if seen[key_of(one.label)] == 1:
                found.setdefault(key_of(one.label), one.label)
    return found


def key_of(label: str) -> str:
    """The same for labels that differ in case, punctuation, or an s at the end."""
    words = [word.casefold() for word in _WORDS.findall(label)]
    return " ".join(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words
    )


def _fact(column: Column, value: str, span: Span) -> Fact | None:
    value = value.strip().strip("*_`").strip()
    if not value or value.casefold() in _NOTHING or len(value) > _LONGEST_VALUE or not is_of_kind(value, column.kind):
        return None
    return Fact(value=normal(value, column.kind), spans=(span,))


def _states(one: Stated, keys: set[str], about: str, *, in_row: bool) -> bool:
    """Whether it is stated under one of these keys, of whom it is asked."""
    if not one.row:
        return not in_row and key_of(one.label) in keys
    label, row, asked = key_of(one.label), key_of(one.row), key_of(about)
    return (label in keys and row == asked) or (row in keys and label == asked)


def _pairs(text: StoredText) -> Iterator[Stated]:
    heading: tuple[str, int] | None = None
    for match in _LINE.finditer(text.text):
        start, body = match.start("body"), match["body"].rstrip()
        if any(first <= start < last for first, last in text.code):
            heading = None
            continue
        found = list(_in_line(body, start))
        yield from found
        if not found and heading is not None and len(body) <= _LONGEST_ALONE:
            yield Stated(heading[0], body, heading[1], start + len(body))
        is_heading = not found and _is_label(body) and body[-1] not in ".!?,;"
        heading = (body, start) if is_heading else None


def _in_line(body: str, start: int) -> Iterator[Stated]:
    """What one line states: a label and a value, or as many as a row of a table has."""
    cells = [(cell[0].strip(), start + cell.start()) for cell in _CELL.finditer(body)]
    pairs = [(found["label"], found["value"].strip()) for cell, _ in cells if (found := _PAIR.fullmatch(cell))]
    end = start + len(body)
    if len(cells) == 2 and len(pairs) in (0, 2):  # a table of names and values
        name, value = (pair[1] for pair in pairs) if pairs else (cell for cell, _ in cells)
        if _is_label(name):
            yield Stated(name, value, start, end)
    if len(cells) > 1 and len(pairs) == len(cells):
        row = pairs[0][1]
        yield from (Stated(label, value, start, end, row) for label, value in pairs if _is_label(label))
        return
    whole = _PAIR.fullmatch(body)
    if whole and _is_label(whole["label"]) and not _AS_CODE.fullmatch(whole["value"]):
        yield Stated(whole["label"].strip("*_ "), whole["value"], start, end)


def _is_label(text: str) -> bool:
    words = _WORDS.findall(text)
    return 0 < len(words) <= _MOST_WORDS and len(text) <= 60 and any(map(str.isalpha, text)) and "://" not in text


@cache
def _columns() -> dict[str, dict[str, Any]]:
    read = tomllib.loads(Path(__file__).with_name("statements.toml").read_text(encoding="utf-8"))
    return {key_of(name): entry for entry in read["columns"] for name in entry["names"]}


def _known(name: str) -> dict[str, Any]:
    return _columns().get(key_of(name), {})
