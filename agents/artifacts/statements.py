"""What documents state of a column, by lines with a label, rows of tables and sentences; each with its exact span."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from signoff.agents.artifacts.table import Column, Fact, Span
from signoff.agents.artifacts.values import is_of_kind, key_of, normal
from signoff.tools.search import Library

_LINE: Final = re.compile(r"^[ \t]*(?:[-*+•>|][ \t]+)*(?P<body>\S[^\n]*)$", re.MULTILINE)
_PAIR: Final = re.compile(r"(?P<label>[^\s:：=;|<][^:：=;|<\n]{0,59}?)[ \t]*[:：][ \t]+(?P<value>\S.*)")
_FENCE: Final = re.compile(r"^[ \t]*(`{3,}|~{3,})[^`\n]*\n.*?(?:^[ \t]*\1|\Z)", re.MULTILINE | re.DOTALL)
_AS_CODE: Final = re.compile(r"(?P<quote>[\"'])[^\"']*(?P=quote),?|[\[{(].*")
"""A value that only code writes so."""
_SENTENCE: Final = 500
"""Characters before and after something in which its sentence begins and ends."""
_SENTENCE_END: Final = re.compile(r"[.!?](?=\s)|\n\s*\n|\n(?=[ \t]*[-*#|])")
_ASIDE: Final = re.compile(
    r"\b(?:previously|formerly|originally|used to|no longer|until|earlier|older|dropped|deprecated|will|planned|soon|"
    r"plans to|unlike|competitors?|rivals?|compared (?:to|with)|instead of|as opposed to)\b",
    re.IGNORECASE,
)
"""What makes a sentence one about another, the past or plans."""
_CELL: Final = re.compile(r"[^;]+")
_WORDS: Final = re.compile(r"[^\W_]+")
_MOST_WORDS: Final = 6
"""Of a label."""
_TIERS: Final = frozenset(("plan", "tier", "edition", "package", "level", "subscription"))
"""What a row may be about that is itself a part of what a document is about."""
_FEW_WORDS: Final = 4
"""Of an amount that is stated without a number."""
_LONGEST_VALUE: Final = 300
_LONGEST_ALONE: Final = 80
"""Characters of a line that is the value of the heading above it."""
_NOTHING: Final = frozenset("- – — n/a na unknown tbd tba ? null nil todo".split())
"""What stands where nothing is stated."""
_FORMS: Final = frozenset(
    """
    inc incorporated ltd limited llc llp plc gmbh ag se sa sas srl spa bv nv ab oy as kg corp corporation co company
    """.split()
)
"""Legal forms, which are no part of a name."""


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
    of: str = ""
    """Of such a row, what its first cell is: the label of the first column."""
    is_under: bool = False
    """Whether the label is a heading above it."""


def column_of(name: str, about: str = "") -> Column:
    """The column that people ask for by this name, with what is known of where documents state it."""
    known = _known(name)
    labels, kind, many = known.get("labels", ()), known.get("kind", "text"), known.get("many", False)
    return Column(name=" ".join(name.split()), about=about, labels=tuple(labels), kind=kind, many=many)


def column_labelled(label: str) -> Column:
    """The column that documents state under this label; one of that name if none is known."""
    key = key_of(label)
    names = (
        entry["names"][0] for entry in _columns().values() if key in map(key_of, (*entry["names"], *entry["labels"]))
    )
    return column_of(next(names, label))


def stated(
    column: Column,
    texts: Sequence[StoredText],
    *,
    about: str = "",
    shared: Sequence[StoredText] = (),
    others: Collection[str] = (),
) -> list[Fact]:
    """What the texts state of a column: in lines with its label, in rows of tables, and in sentences of known kinds.

    `about` names whom it is asked of. Of the `shared` texts only those rows and columns of tables count that are about
    it, and of a table with several rows in any other text too. A sentence that names one of the `others`, or speaks of
    the past or of plans, states nothing of it.
    """
    keys = {key_of(name) for name in (column.name, *column.labels)}
    sentences = [re.compile(pattern, re.MULTILINE) for pattern in _known(column.name).get("sentences", ())]
    facts: list[Fact] = []
    for text, in_row in (*((text, False) for text in texts), *((text, True) for text in shared)):
        found = [one for one in text.stated if _states(one, keys, about, in_row=in_row)]
        found = [one for one in found if not one.is_under or not _is_sentence(one.value, column)]
        spans = [(one.value, one.start, one.end) for one in found]
        tiers = _tiers(column, [one for one in text.stated if not in_row and key_of(one.label) in keys], text)
        facts += tiers  # where each plan is listed, a sentence is about one of them
        for match in (match for one in sentences for match in one.finditer(text.text)) if not (in_row or tiers) else ():
            taken = (*((start, end) for _, start, end in spans), *text.code)
            is_taken = any(start <= match.start() and match.end() <= end for start, end in taken)
            if not is_taken and not _is_of_others(text.text, match, about, others):
                spans.append((match["value"], match.start(), match.end()))
        read = sorted(spans, key=lambda span: span[1])
        facts += [fact for value, start, end in read if (fact := _fact(column, value, text.span(start, end)))]
    return facts


def name_key(name: str) -> str:
    """The same for names that mean one: 'Otter', 'otter' and 'Otter Inc.', 'faiss-cpu' and 'faiss_cpu'."""
    words = key_of(name).split()
    while len(words) > 1 and words[-1] in _FORMS:
        words.pop()
    return " ".join(words)


def names_in(texts: Sequence[StoredText]) -> set[str]:
    """Keys, by `name_key`, of all that rows and columns of tables in these texts are about."""
    return {name_key(name) for text in texts for one in text.stated if one.row for name in (one.row, one.label)}


def common_columns(groups: Iterable[Sequence[StoredText]]) -> list[tuple[Column, int]]:
    """The columns that documents of several groups have labels for, and of how many, the most common first.

    A label that stands line after line is of a list, and makes no column.
    """
    columns, counts, listed = dict[str, Column](), Counter[str](), set[str]()
    for texts in groups:
        seen: dict[str, None] = {}  # in reading order, so that the same documents always give the same
        for stated in (text.stated for text in texts):
            labels = [one.label if not one.row else "" for one in stated]
            listed |= {
                key_of(label) for label, following in pairwise(labels) if label and key_of(label) == key_of(following)
            }
            seen |= dict.fromkeys(column_labelled(label).name for label in labels if label)
        counts.update([*seen])
    for name, _ in counts.most_common():
        if key_of(name) not in listed:
            columns[name] = column_labelled(name)
    return [(column, counts[name]) for name, column in columns.items()]


def _fact(column: Column, value: str, span: Span) -> Fact | None:
    value = value.strip().strip("*_`").strip()
    if not value or value.casefold() in _NOTHING or len(value) > _LONGEST_VALUE:
        return None
    # An amount may be stated in words: free, on request.
    if not is_of_kind(value, column.kind) and not (column.kind == "number" and len(value.split()) <= _FEW_WORDS):
        return None
    return Fact(value=normal(value, column.kind), spans=(span,))


def _tiers(column: Column, found: Sequence[Stated], text: StoredText) -> list[Fact]:
    """What rows of plans and the like state, as one value: 'Basic: $0; Pro: $10'."""
    rows = [one for one in found if one.row and key_of(one.of) in _TIERS and is_of_kind(one.value, column.kind)]
    if not rows:
        return []
    spans = tuple(text.span(one.start, one.end) for one in rows)
    return [Fact(value="; ".join(f"{one.row}: {one.value}" for one in rows), spans=spans)]


def _is_sentence(value: str, column: Column) -> bool:
    """Whether a text under a heading is prose about a value, not the value."""
    return column.kind not in ("text", "prose") and (value[-1] in ".!?" or len(value.split()) > _MOST_WORDS)


def _is_of_others(text: str, match: re.Match[str], about: str, others: Collection[str]) -> bool:
    """Whether the sentence that something stands in speaks of somebody else, of the past or of plans."""
    before, after = text[max(0, match.start() - _SENTENCE) : match.start()], text[match.end() : match.end() + _SENTENCE]
    said = f"{_SENTENCE_END.split(before)[-1]}{match[0]}{_SENTENCE_END.split(after)[0]}"
    words = f" {key_of(said)} "
    return bool(_ASIDE.search(said)) or any(f" {key_of(name)} " in words for name in others if name != about)


def _states(one: Stated, keys: set[str], about: str, *, in_row: bool) -> bool:
    """Whether it is stated under one of these keys, of whom it is asked."""
    if not one.row:
        return not in_row and key_of(one.label) in keys
    if key_of(one.label) in keys and name_key(one.row) == name_key(about):
        return True
    return key_of(one.row) in keys and name_key(one.label) == name_key(about)


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
            yield Stated(heading[0], body, heading[1], start + len(body), is_under=True)
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
        of, row = pairs[0]
        yield from (Stated(label, value, start, end, row, of) for label, value in pairs if _is_label(label))
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
