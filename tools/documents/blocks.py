"""Blocks: what a reader finds in a file, and how blocks become a stored text with passages in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from signoff.error_base import MissingExtra
from signoff.tools.errors import Unreadable

Kind = Literal["heading", "prose", "list", "table", "code"]
"""A list has one item on each line, a table one row on each line."""

LONGEST = 1200
"""Characters a passage may have before it is split."""

_SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\W_a-z])|(?<=[。！？])")
_LINE = re.compile(r"\n")
_GAP = re.compile(r"\n(?:[ \t]*\n)+")
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
    named = flatten(clean(title)) or next((flatten(block.text) for block in kept[:3] if block.kind == "heading"), "")
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
    """Merge neighbouring paragraphs and lists under one heading; tables and code stand alone."""
    only_headings = all(block.kind == "heading" for block, _, _ in placed)
    run: list[tuple[Block, int, str]] = []
    for item in placed:
        block, start, trail = item
        if block.kind == "heading" and not only_headings:
            yield from _merged(run)
            run = []
        elif block.kind in ("table", "code"):
            yield from _merged(run)
            run = []
            yield from _split(block.text, start, block.kind, trail)
        else:
            carried = run[-1:] if run and block.kind == "list" and run[-1][0].text.endswith(":") else []
            if run and start + len(block.text) - run[0][1] > LONGEST:
                # The sentence that introduces a list goes with it.
                yield from _merged(run[: len(run) - len(carried)])
                run = carried
            run.append(item)
    yield from _merged(run)


def _merged(run: Sequence[tuple[Block, int, str]]) -> Iterable[Span]:
    if not run:
        return
    (_, start, trail), (last, at, _) = run[0], run[-1]
    end = at + len(last.text)
    start += len(run[0][0].text) - len(run[0][0].text.lstrip())
    kind = "list" if all(block.kind == "list" for block, _, _ in run) else "prose"
    if end - start <= LONGEST:
        yield Span(start, end, kind, trail)
        return
    for block, begin, _ in run:
        yield from _split(block.text, begin, "list" if block.kind == "list" else "prose", trail)


def _split(text: str, offset: int, kind: str, trail: str) -> Iterable[Span]:
    for start, end in _pieces(text, 0, len(text), _BREAKS[kind]):
        piece = text[start:end]
        left = len(piece) - len(piece.lstrip("\n" if kind == "code" else None))
        if piece.strip():
            yield Span(offset + start + left, offset + start + len(piece.rstrip()), kind, trail)


def _pieces(text: str, start: int, end: int, breaks: Sequence[re.Pattern[str]]) -> list[tuple[int, int]]:
    """Cut text[start:end] into pieces of at most LONGEST, at the coarsest break that will do."""
    if end - start <= LONGEST:
        return [(start, end)]
    if not breaks:
        return [(at, min(at + LONGEST, end)) for at in range(start, end, LONGEST)]
    cuts = [match.end() for match in breaks[0].finditer(text, start, end) if start < match.end() < end]
    parts: list[tuple[int, int]] = []
    for left, right in zip([start, *cuts], [*cuts, end], strict=True):
        if parts and right - parts[-1][0] <= LONGEST:
            parts[-1] = (parts[-1][0], right)
        else:
            parts.extend(_pieces(text, left, right, breaks[1:]))
    return parts
