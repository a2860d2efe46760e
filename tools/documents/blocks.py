"""Blocks: what a reader finds in a file, and how blocks become a stored text with passages in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from signoff.error_base import MissingExtra
from signoff.tools.errors import Unreadable

Kind = Literal["heading", "prose", "list", "table", "code"]
"""A list has one item on each line, a table one row on each line."""

SHORT, USUAL = 200, 500
"""Characters up to which neighbours under one heading are joined, and from which a passage is cut at blank lines."""
LONGEST, LONGEST_LIST = 1200, 2400
"""Characters from which a paragraph, a row or code is cut wherever it can be; a list is kept whole for longer."""

_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\W_a-z])|(?<=[。！？])")
_LINE = re.compile(r"\n")
_GAP = re.compile(r"\n(?:[ \t]*\n)+")
CHAPTER = re.compile(r"\d+(?:\.\d+)*\.? ")
"""How a heading begins that is one of several, and names no document."""
_SPACE = re.compile(r"\s+")
_BREAKS: dict[str, tuple[re.Pattern[str], ...]] = {
    "prose": (_SENTENCE, _SPACE),
    "list": (_LINE, _SENTENCE, _SPACE),
    "table": (_LINE, _SENTENCE, _SPACE),
    "code": (_GAP, _LINE, _SPACE),
}
# C0 and C1 controls but tab and line feed, zero-width marks that hide inside words, and lone surrogates.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff\ud800-\udfff]")


@dataclass(frozen=True)
class Block:
    """A paragraph, list, table, block of code or heading, without its markup."""

    kind: Kind
    text: str
    level: int = 0
    """Of a heading: 1 is the outermost."""


@dataclass(frozen=True)
class Span:
    """Where a passage stands in the stored text."""

    start: int
    end: int
    kind: str
    heading: str


@dataclass(frozen=True)
class Document:
    """A file as it is stored: plain text, and the passages in it."""

    title: str
    text: str
    spans: tuple[Span, ...]


@contextmanager
def unreadable_if_damaged(problem: str = "damaged, or not what its name says") -> Iterator[None]:
    """Tell as Unreadable whatever a file makes a format's library raise."""
    try:
        yield
    except (Unreadable, MissingExtra, MemoryError):
        raise
    except Exception as error:  # the libraries raise anything when a file is damaged in a new way
        raise Unreadable(f"{problem} ({type(error).__name__})") from error


def clean(text: str) -> str:
    """The text without control characters and trailing blanks, its lines ended by a line feed."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n").replace("\v", "\n").replace("\x85", "\n")
    return "\n".join(line.rstrip() for line in _UNPRINTABLE.sub("", text).split("\n")).rstrip()


def flatten(text: str) -> str:
    return " ".join(text.split())


def join_items(blocks: Iterable[Block]) -> Iterable[Block]:
    for kind, group in groupby(blocks, key=lambda block: block.kind):
        run = list(group)
        yield from [Block("list", "\n".join(block.text for block in run))] if kind == "list" else run


def compose(title: str, blocks: Iterable[Block]) -> Document:
    """Lay the blocks out as one text with blank lines between them, and find its passages."""
    kept = [Block(block.kind, text, block.level) for block in blocks if (text := clean(block.text).lstrip("\n"))]
    placed: list[tuple[Block, int, str]] = []
    path: list[Block] = []
    start = 0
    first = next((flatten(block.text) for block in kept[:3] if block.kind == "heading"), "")
    named = flatten(clean(title)) or (first if not CHAPTER.match(first) else "")
    for block in kept:
        if block.kind == "heading":
            path = [above for above in path if above.level < block.level] + [block]
        trail = " › ".join(
            flatten(above.text) for above in path if above is not kept[0] or flatten(above.text) != named
        )
        placed.append((block, start, trail))
        start += len(block.text) + 2
    return Document(named, "\n\n".join(block.text for block in kept), tuple(_passages(placed)))


def _passages(placed: Sequence[tuple[Block, int, str]]) -> Iterable[Span]:
    """Passages of the blocks under each heading: a question's answer, neither a sentence nor a page."""
    if all(block.kind == "heading" for block, _, _ in placed):
        yield from _pack([span for item in placed for span in _split(*item)])
        return
    for _, section in groupby(_sections(placed), key=lambda item: item[0]):
        yield from _pack([span for _, item in section for span in _split(*item)])


def _sections(placed: Iterable[tuple[Block, int, str]]) -> Iterator[tuple[int, tuple[Block, int, str]]]:
    """The blocks that are no headings, each with the number of the heading that it stands under."""
    number = 0
    for item in placed:
        if item[0].kind == "heading":
            number += 1
        else:
            yield number, item


@dataclass(frozen=True)
class _Piece:
    """A part of a passage, or all of it."""

    span: Span
    introduces: bool
    """Whether what follows is announced in it."""


def _split(block: Block, offset: int, trail: str) -> Iterable[_Piece]:
    """A block in pieces that a passage can be made of; a list is one, with its items."""
    kind, text = "prose" if block.kind == "heading" else block.kind, block.text
    items = text.count("\n") + 1
    if kind == "list" and len(text) > SHORT * items:  # numbered paragraphs, each of which says something
        longest = USUAL
    elif kind == "list":
        longest = LONGEST_LIST if len(text) <= LONGEST_LIST else LONGEST
    else:
        longest = USUAL if kind == "code" else LONGEST
    pieces = _cut(text, 0, len(text), _BREAKS[kind], longest)
    for at, (start, end) in enumerate(pieces):
        piece = text[start:end]
        left = len(piece) - len(piece.lstrip("\n" if kind == "code" else None))
        if piece.strip():
            span = Span(offset + start + left, offset + start + len(piece.rstrip()), kind, trail)
            yield _Piece(span, introduces=at == len(pieces) - 1 and piece.rstrip().endswith((":", "：")))


def _pack(pieces: Sequence[_Piece]) -> Iterator[Span]:
    """Join neighbours that are short, and what is announced to the line that announces it; tables stand alone."""
    runs: list[list[_Piece]] = []
    for piece in pieces:
        if not runs or "table" in (piece.span.kind, runs[-1][-1].span.kind):
            runs.append([piece])
        elif _fits(runs[-1], piece):
            runs[-1].append(piece)
        else:
            carried = [runs[-1].pop()] if runs[-1][-1].introduces and len(runs[-1]) > 1 else []
            runs.append([*carried, piece])
    joined: list[list[_Piece]] = []
    for run in runs:
        short = joined and _length(run) < SHORT and "table" not in (run[0].span.kind, joined[-1][0].span.kind)
        if short and _length([*joined[-1], *run]) <= LONGEST:
            joined[-1] += run
        else:
            joined.append(run)
    for run in joined:
        kinds = {piece.span.kind for piece in run}
        yield replace(run[0].span, end=run[-1].span.end, kind=kinds.pop() if len(kinds) == 1 else "prose")


def _fits(run: Sequence[_Piece], piece: _Piece) -> bool:
    length = _length([*run, piece])
    wanted = _length(run) < SHORT or (run[-1].introduces and len(run) == 1)
    return length <= USUAL or (wanted and length <= (LONGEST_LIST if piece.span.kind == "list" else LONGEST))


def _length(run: Sequence[_Piece]) -> int:
    return run[-1].span.end - run[0].span.start


def _cut(text: str, start: int, end: int, breaks: Sequence[re.Pattern[str]], most: int) -> list[tuple[int, int]]:
    """Cut text[start:end] into pieces of at most `most`, at the coarsest break that will do."""
    if end - start <= most:
        return [(start, end)]
    if not breaks:
        return [(at, min(at + most, end)) for at in range(start, end, most)]
    cuts = [match.end() for match in breaks[0].finditer(text, start, end) if start < match.end() < end]
    parts: list[tuple[int, int]] = []
    for left, right in zip([start, *cuts], [*cuts, end], strict=True):
        if parts and right - parts[-1][0] <= most:
            parts[-1] = (parts[-1][0], right)
        else:
            # What is not cut at this break may be as long as anything may be.
            parts.extend(_cut(text, left, right, breaks[1:], max(most, LONGEST)))
    return parts
