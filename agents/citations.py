"""Quotes and citations: as Markdown that renders them as they are, read back from it, and held against documents."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

from signoff.agents.artifacts import Evidence, Quote
from signoff.agents.extractive.sentences import split
from signoff.tools.errors import UnknownSource
from signoff.tools.search import Library
from signoff.wording import hide_again

_PUNCTUATION = re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_ESCAPED = re.compile(rf"\\([{_PUNCTUATION}])")
_SPECIAL = re.compile(
    rf"(?P<backslash>\\(?=[{_PUNCTUATION}\n]|$))|(?P<always>[*`\[<])|(?P<underscore>(?<![^\W_])_|_(?![^\W_]))"
    r"|(?P<entity>&(?=#?\w+;))|(?P<pair>[~$])"
)
_BLOCK_MARK = re.compile(r"^([ \t]*)(?:([-+=#>])|(\d{1,9})([.)])(?=\s|$))")
_BREAK = re.compile(r"(?<!\\)((?:\\\\)*)\\\n")
"""The end of a line that stays one."""
_GAP = re.compile(r"\n[ \t]*\n(?=[^\n])")
_RULE = re.compile(r"\|(?: --- \|)+")
_SENTENCE_END = re.compile(r"[.!?…。！？:][\"'”’»)\]]*$")
_LONGEST_LINE, _LONGEST_CODE, _SHORTEST_WRAPPED = 80, 120, 60
"""Characters of a line of code that stands alone, and of one among others; of wrapped prose, of its longest line."""
_SAID = re.compile(r"[^\W\d_]|[ \n.,:()§’'-](?! )| (?! )")
"""What prose is made of."""
_LETTER = re.compile(r"(?:[^\W_a-z](?:[^\W_]|[.,()&’'-]| (?! ))*:?(?:\n|$))+")
"""Short lines that are no code: an address, a signature."""
_FENCE = re.compile(r"`{3,}")
_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,9}[.)])[ \t]+(?=\S)")
CITATION = re.compile(r"(?<!\\)\[(\d{1,4})\]")
"""A citation, [12]; the brackets of a quote itself are escaped."""
_FEWEST_WORDS = 4
"""A shorter sentence on its own says nothing."""
_LOOKED_AT = 20
"""Passages in whose documents a quote is looked for that its own does not have."""
_SOURCES_LIST = re.compile(r"^#{1,6}\s*(?:sources|references|citations|bibliography)\s*$", re.IGNORECASE | re.MULTILINE)
"""The heading of a report's list of sources."""


@dataclass(frozen=True)
class Cited:
    """A quotation found in Markdown."""

    text: str
    """As plain text, as it stood in its source but for white space."""
    id: int | None
    """The citation behind it."""


def cited_ids(markdown: str) -> list[int]:
    return [int(id) for id in CITATION.findall(markdown)]


def without_citations(markdown: str) -> str:
    return CITATION.sub("", markdown)


def without_sources(markdown: str) -> str:
    """A report without its list of sources."""
    return _SOURCES_LIST.split(markdown, 1)[0]


def escape(text: str) -> str:
    """The text as inline Markdown that renders to just this text."""
    paired = {mark for mark in "~$" if text.count(mark) > 1}
    return _SPECIAL.sub(lambda m: m[0] if m["pair"] and m[0] not in paired else f"\\{m[0]}", text)


def unescape(markdown: str) -> str:
    """The text that inline Markdown made by `escape` renders to."""
    return _ESCAPED.sub(r"\1", markdown)


def flatten(text: str) -> str:
    """The text with all white space made single blanks."""
    return " ".join(text.split())


def blockquote(text: str, id: int, attribution: str = "", *, kind: str = "prose") -> str:
    """A quote as a Markdown block with its citation: lists, rows, code and laid-out lines stay what they are."""
    lines = _as_table(text) if kind == "table" else []
    paragraphs = _GAP.split(text) if not lines else []
    raw = [kind == "code" or (kind not in ("table", "list") and _is_laid_out(paragraph)) for paragraph in paragraphs]
    for is_raw, group in groupby(range(len(paragraphs)), key=lambda at: _is_raw(at, raw, paragraphs)):
        shown = "\n\n".join(paragraphs[at] for at in group)
        lines += [*([""] if lines else []), *(_fenced(shown) if is_raw else _laid_out(shown, kind == "list"))]
    if lines[-1].startswith(("```", "| ")):
        lines += ["", f"[{id}]"] if lines[-1][0] == "|" else [f"[{id}]"]
    else:
        lines[-1] += f" [{id}]"
    if attribution:
        lines += ["", f"— {attribution}"]
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _as_table(text: str) -> list[str]:
    """A table of rows that were stored as 'column: value; column: value'; nothing if they would not be just these."""
    rows = [line.split("; ") for line in text.split("\n")]
    counts = Counter(piece.partition(": ")[0] for row in rows for piece in row if ": " in piece)
    columns: list[str] = []
    table: list[dict[str, str]] = []
    for row in rows:
        cells: dict[str, str] = {}
        for piece in row:
            name, named, value = piece.partition(": ")
            if named and name not in cells and (counts[name] > 1 or len(rows) == 1):
                last, cells[name] = name, value
            elif cells:
                cells[last] += f"; {piece}"
            else:
                last, cells[""] = "", piece
            if last not in columns:
                before = [columns.index(other) for other in cells if other in columns]
                columns.insert(max(before, default=-1) + 1, last)
        table.append(cells)
    body = [[cells.get(column, "") for column in columns] for cells in table]
    if len(columns) < 2 or _rows(columns, body) != text:
        return []
    cells_of = (" | ".join(escape(cell).replace("|", "\\|") for cell in row) for row in [columns, *body])
    head, *lines = (f"| {row} |" for row in cells_of)
    return [head, f"| {' | '.join('---' for _ in columns)} |", *lines]


def _rows(columns: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """The rows of a table as they are stored."""
    named = [
        [f"{name}: {cell}" if name else cell for name, cell in zip(columns, row, strict=False) if cell] for row in body
    ]
    return "\n".join(map("; ".join, named))


def _is_laid_out(paragraph: str) -> bool:
    """Whether the lines of a paragraph are code or the like, no list and no prose that was wrapped."""
    first, *more = lines = paragraph.split("\n")
    longest = max(map(len, lines))
    is_wrapped = longest >= _SHORTEST_WRAPPED and len(_SAID.findall(paragraph)) > 0.95 * len(paragraph)
    is_prose = is_wrapped or _LETTER.fullmatch(paragraph)
    return bool(more) and not _ITEM.match(first) and longest <= _LONGEST_CODE and not is_prose


def _is_raw(at: int, raw: Sequence[bool], paragraphs: Sequence[str]) -> bool:
    """A line alone that is no sentence is code where it stands beside code."""
    beside = any(raw[near] for near in (at - 1, at + 1) if 0 <= near < len(raw))
    short = "\n" not in paragraphs[at] and len(paragraphs[at]) <= _LONGEST_LINE
    return raw[at] or (beside and short and not _SENTENCE_END.search(paragraphs[at]))


def _fenced(text: str) -> list[str]:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    return [fence, *text.split("\n"), fence]


def _laid_out(text: str, has_items: bool) -> list[str]:
    lines: list[str] = []
    listed = False
    for line in text.split("\n"):
        item = _ITEM.match(line)
        if not line.strip():
            lines.append("")
        elif item and (has_items or listed or "\n" in text):
            if not listed and lines and lines[-1]:
                lines.append("")
            lines.append(item[0].replace("•", "-") + escape(line[item.end() :]))
            listed = True
        else:
            if lines and lines[-1]:
                lines[-1] += "\\"  # a line that ends in the text ends here too
            lines.append(_BLOCK_MARK.sub(_escape_mark, escape(line.rstrip())))
    return lines


def _escape_mark(mark: re.Match[str]) -> str:
    indent, sign, number, stop = mark.groups()
    return f"{indent}\\{sign}" if sign else f"{indent}{number}\\{stop}"


def find_blockquotes(markdown: str) -> Iterator[Cited]:
    """The quotations of a Markdown text that stand as blocks, in order."""
    block: list[str] = []
    for line in [*markdown.split("\n"), ""]:
        if line.startswith(">"):
            block.append(line[1:].removeprefix(" "))
        elif block:
            yield _cited(block)
            block = []


def _cited(block: Sequence[str]) -> Cited:
    """The quotation of a block's lines; what is fenced in it stands there as it is."""
    said: list[str] = []
    fence, begin = "", 0
    for at, line in enumerate(block):
        if fence and line == fence:
            said.append("\n".join(block[begin:at]))
            fence, begin = "", at + 1
        elif not fence and (opened := _FENCE.fullmatch(line)):
            said.append(_plain_text("\n".join(block[begin:at])))
            fence, begin = opened[0], at + 1
        elif not fence and (citation := CITATION.search(line)):
            said.append(_plain_text("\n".join([*block[begin:at], line[: citation.start()]])))
            return Cited(flatten("\n".join(said)), int(citation[1]))
    return Cited(flatten("\n".join([*said, _plain_text("\n".join(block[begin:]))])), None)


def _plain_text(markdown: str) -> str:
    head, _, body = markdown.partition("\n")
    rule, _, rows = body.partition("\n")
    if head.startswith("| ") and _RULE.fullmatch(rule):
        columns, *table = (
            [unescape(cell) for cell in line[2:-2].split(" | ")] for line in (head, *rows.split("\n")) if line
        )
        return _rows(columns, table)
    return unescape(_BREAK.sub(r"\1\n", markdown))


def same_text(one: str, other: str) -> bool:
    """True if the two differ in nothing but white space and the bullets of lists."""
    return _plain(one) == _plain(other)


def _plain(text: str) -> str:
    return re.sub(r"(?<!\S)[•*+-](?!\S)", "-", flatten(text))


_QUOTATION = dict.fromkeys(map(ord, "“”„‟«»″"), '"') | dict.fromkeys(map(ord, "‘’‚‛′`´"), "'")
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−"), "-")
_ALIKE = _QUOTATION | _DASHES | {ord("…"): "..."}
_INVISIBLE = re.compile("[\u00ad\u200b\u200c\u200d\u2060\ufeff]")


@dataclass(frozen=True)
class Plain:
    """A text with its typography evened out, and where each of its characters stood."""

    text: str
    places: tuple[int, ...]
    """For each character of `text`, its offset in the original; one more for the end."""

    def find(self, quote: str) -> tuple[int, int] | None:
        """Start and end in the original of the first span that reads like this quote."""
        sought = even_out(quote).text.strip()
        at = self.text.find(sought) if sought else -1
        if at < 0:
            return None
        return self.places[at], self.places[at + len(sought) - 1] + 1


def even_out(text: str) -> Plain:
    """Quotation marks, dashes and white space made alike, ligatures and width forms taken apart."""
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        if character.isspace():
            if not characters or characters[-1] != " ":
                characters.append(" ")
                places.append(place)
        elif not _INVISIBLE.match(character):
            plain = character if character.isascii() else unicodedata.normalize("NFKC", character.translate(_ALIKE))
            characters += plain
            places += [place] * len(plain)
    return Plain("".join(characters), (*places, len(text)))


def reads_alike(one: str, other: str) -> bool:
    """True if the first text stands within the second, but for typography."""
    return even_out(one).text.strip() in even_out(other).text


def verify_quotes(evidence: Evidence, sources: Library) -> tuple[Evidence, int]:
    """The evidence with each quote as its document has it, and the number that no document has, which are dropped.

    A quote that its document does not have is looked for in those that a search for its words finds. Of one that was
    put together from several places, those of its sentences are kept that stand in the document.
    """
    evened = cache(even_out)
    kept: list[Quote] = []
    dropped = 0
    for quote in evidence.quotes:
        standing = _standing(quote, sources, evened) or _elsewhere(quote, sources, evened)
        new = [found for found in standing if not _is_among(found, kept)]
        kept += new
        dropped += not new
    numbered = tuple(quote.model_copy(update={"id": number}) for number, quote in enumerate(kept, 1))
    matched = len({quote.source for quote in numbered})
    updated = evidence.model_copy(update={"quotes": numbered, "matched": matched, "searched": sources.documents})
    return updated, dropped


def _standing(quote: Quote, sources: Library, evened: Callable[[str], Plain]) -> list[Quote]:
    """The quote if its document has it, else those of its sentences that the document has."""
    whole = _located(quote, sources, evened)
    if whole is not None:
        return [whole]
    parts = [quote.model_copy(update={"text": sentence.text}) for sentence in split(quote.text)]
    found = [_located(part, sources, evened) for part in parts if len(part.text.split()) >= _FEWEST_WORDS]
    return [part for part in found if part is not None]


def _elsewhere(quote: Quote, sources: Library, evened: Callable[[str], Plain]) -> list[Quote]:
    """The quote in another document than it was said to be from: the first that a search for its words finds."""
    if len(quote.text.split()) < _FEWEST_WORDS:
        return []
    places = dict.fromkeys(passage.source for passage in sources.search(quote.text, limit=_LOOKED_AT))
    found = (_standing(quote.model_copy(update={"source": place}), sources, evened) for place in places)
    return next(filter(None, found), [])


def _is_among(quote: Quote, others: Iterable[Quote]) -> bool:
    """Whether the document's same span is quoted, alone or within a longer one."""
    return any(other.source == quote.source and quote.text in other.text for other in others)


def _located(quote: Quote, sources: Library, evened: Callable[[str], Plain]) -> Quote | None:
    """The quote with the exact span of its document, or None if the document has no such span."""
    try:
        text = sources.text(quote.source)
    except UnknownSource:
        return None
    sought = quote.text if quote.text in text else hide_again(quote.text)
    at = text.find(sought) if sought.strip() else -1
    span = (at, at + len(sought)) if at >= 0 else evened(text).find(sought)
    if span is None:
        return None
    place = next((p for p in sources.passages_of(quote.source) if p.start <= span[0] < p.start + len(p.text)), None)
    named = {"title": place.title, "heading": place.heading} if place else {}
    found = {"text": text[slice(*span)], "start": span[0], "origin": sources.origin(quote.source)}
    return quote.model_copy(update={**found, **named})
