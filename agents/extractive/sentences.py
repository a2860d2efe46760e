"""Where sentences begin and end in wrapped prose and lists, with nothing cut through."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_MARKER = re.compile(r"[ \t]*(?:[-*+•◦‣·]|\(?(?:\d{1,3}|[a-z]|#)[.)])[ \t]+(?=\S)")
_PLAIN_MARKER = re.compile(r"[ \t]*[-*+•◦‣·][ \t]")
_STOP = re.compile(
    r"(?:[.!?…]+[\"'”’»)\]}*_`]*(?:[ \t]?\[[#*\w,. -]{1,20}\]_?[.]?)*(?=\s|$)|[.!?…]+[”’»](?=\S)"
    r"|[؟۔।]+(?=\s|$)|[。！？]+[”’」』）》]*)"
)
_SPACED = re.compile(r"\w\.(?:\s|$)")
"""The second half of an abbreviation in two parts: the 'B.' of 'z. B.'."""
_FEWER = re.compile(r"\b(?:etc|inc|ltd|co|corp|jr|usw|[ap]\.m)$", re.IGNORECASE)
_OPENERS = "\"'“‘«([{*_`„「『（《¿¡"
_TERMINATED = re.compile(
    r"(?:[.!?…؟۔।。！？][\"'”’»)\]}*_`」』）》]*|[.!?…][\"'”’»)\]}*_`]*(?:[ \t]?\[[#*\w,. -]{1,20}\]_?[.]?)+)$"
)
_LONGEST_ASIDE = 300
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\[“\"'])(?:(?P<never>e\.g|i\.e|cf|vs|viz|resp|approx|ca|dr|mr|mrs|ms|prof|st|sr|rev|gen|hon|messrs"
    r"|fig|figs|eq|eqs|sec|ch|chap|vol|pp|ref|refs|ed|eds|ex|esp|incl|excl|al|z\.b|d\.h|u\.a|vgl|bzw|ggf|evtl"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|\w)|(?P<number>no|nr|art|p|abs|ver|rev))$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Sentence:
    """A sentence, or a fragment that stands where one would."""

    start: int
    """Offset in the text that was split."""
    text: str


def split(text: str) -> list[Sentence]:
    """The sentences of a text, in order; wrapped lines are joined, list items and paragraphs kept apart."""
    return [
        Sentence(start, text[start:end]) for first, last in _blocks(text) for start, end in _within(text, first, last)
    ]


def begins_well(text: str) -> bool:
    """True if this starts as a sentence can: a capital, a digit, a quotation, code, or a script without capitals."""
    first = text.lstrip(_OPENERS)[:1]
    if first.islower():
        word = text.split(maxsplit=1)[0]
        return text[0] == "`" or any(mark in word[:-1] for mark in "._()/") or any(c.isupper() for c in word)
    return first.isalnum() or first in ("$", "€", "£", "-", "+", "~", "@", "/", "<", "%")


def is_terminated(text: str) -> bool:
    """True if this ends as a sentence does, closing quotation marks and note marks aside."""
    return bool(_TERMINATED.search(text))


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each paragraph and list item; the item's marker is left out."""
    start, item, fresh = 0, False, True
    for line in [*_LINE.finditer(text), None]:
        begin, end = line.span() if line else (len(text), len(text))
        blank = not text[begin:end].strip()
        marker = _MARKER.match(text, begin, end)
        # A number at the start of a wrapped line is a list marker only where a list can begin.
        if blank or (marker and (fresh or item or _PLAIN_MARKER.match(text, begin, end))):
            block = text[start:begin]
            if block.strip():
                yield start + len(block) - len(block.lstrip()), start + len(block.rstrip())
            start, item = marker.end() if marker else end, marker is not None
        fresh = blank


def _within(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Start and end of each sentence of one block."""
    start = begin
    for stop in _STOP.finditer(text, begin, end):
        if stop.end() <= start or not _ends_here(text, start, stop, end):
            continue
        yield start, stop.end()
        start = stop.end()
        while start < end and text[start].isspace():
            start += 1
    if start < end:
        yield start, end


def _ends_here(text: str, start: int, stop: re.Match[str], end: int) -> bool:
    """True if this full stop (or its like) ends a sentence."""
    following = text[stop.end() : min(end, stop.end() + 60)].lstrip()
    if not following:
        return True
    if text[stop.start()] in "。！？؟۔।":
        return not _is_inside(text, start, stop.end(), end)
    if not begins_well(following) or _is_inside(text, start, stop.end(), end):
        return False
    return stop.group()[0] != "." or not _abbreviates(text[start : stop.start()], following)


def _abbreviates(before: str, following: str) -> bool:
    """True if the full stop between these belongs to an abbreviation, an initial or a list number."""
    if before.isdigit() and len(before) <= 3:
        return True
    if found := _ABBREVIATION.search(before[-14:] if len(before) > 14 else before):
        word = found["never"] or ""
        if len(word) == 1:
            return (word.isupper() and word != "I") or bool(_SPACED.match(following))
        return following[0].isdigit() if found["number"] else True
    return bool(_FEWER.search(before)) and not following.lstrip(_OPENERS)[:1].isupper()


def _is_inside(text: str, start: int, at: int, end: int) -> bool:
    """True if a bracket, a quotation or a span of code is open here and closes a little further on."""
    before, after = text[start:at], text[at : min(end, at + _LONGEST_ASIDE)]
    if any(
        before.count(left) > before.count(right) and right in after
        for left, right in (("(", ")"), ("[", "]"), ("“", "”"), ("„", "“"), ("«", "»"), ("「", "」"), ("（", "）"))
    ):
        return True
    return any(before.count(mark) % 2 == 1 and mark in after for mark in ("``", '"')) or (
        before.replace("``", "").count("`") % 2 == 1 and "`" in after
    )
