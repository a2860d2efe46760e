"""Signs that a text gives orders to the model that reads it; a few of them in one place are enough.

A sign begins with one of a few words, or with a mark; only where one of them stands is its pattern tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

from signoff.agents.safety import foreign_cues
from signoff.agents.safety import injection_patterns as order_cues

ENOUGH: Final = 3
"""Weight of the signs in one place that makes an order of them."""


@dataclass(frozen=True, slots=True)
class Sign:
    """Where a sign stands in a text, how much it tells, and what."""

    start: int
    end: int
    weight: int
    why: str


_WORDS: Final = re.compile(r"[^\W\d_]+")
_FIRST_IN_LINE: Final = 6
"""Marks that may stand before the first word of a line."""


@dataclass(frozen=True, slots=True)
class _Rest:
    weight: int
    why: str
    pattern: re.Pattern[str]
    exact: str
    """The word as it must be written; empty: in any case."""
    opens_line: bool


@cache
def _rests() -> dict[str, list[_Rest]]:
    """What may follow each word; compiled when first needed."""
    rests: dict[str, list[_Rest]] = {}
    for weight, why, words, pattern in (*order_cues.BY_WORD, *foreign_cues.BY_WORD):
        compiled = re.compile(pattern, re.IGNORECASE)
        opens_line, words = words.startswith("^"), words.removeprefix("^")
        for word in words.split():
            exact = "" if word.islower() or not word.isascii() else word
            rests.setdefault(word.lower(), []).append(_Rest(weight, why, compiled, exact, opens_line))
    return rests


@cache
def _marked() -> list[tuple[int, str, tuple[str, ...], re.Pattern[str]]]:
    return [
        (weight, why, tuple(marks.split()), re.compile(pattern, re.IGNORECASE))
        for weight, why, marks, pattern in (*order_cues.BY_MARK, *foreign_cues.BY_MARK)
    ]


def find_signs(text: str) -> Iterator[Sign]:
    """Every sign in this text, in no order. Time is linear in the text."""
    rests = _rests()
    for found in _WORDS.finditer(text):
        for rest in rests.get(found[0].lower(), ()):
            if (rest.exact and rest.exact != found[0]) or (rest.opens_line and not _opens_line(text, found.start())):
                continue
            if (after := rest.pattern.match(text, found.end())) is not None:
                yield Sign(found.start(), after.end(), rest.weight, rest.why)
    for weight, why, marks, pattern in _marked():
        if any(mark in text for mark in marks):
            for match in pattern.finditer(text):
                yield Sign(match.start(), match.end(), weight, why)


def _opens_line(text: str, place: int) -> bool:
    """Whether only a few marks stand between this place and the beginning of its line or sentence."""
    before = text[max(0, place - _FIRST_IN_LINE) : place]
    line = before[max(before.rfind("\n"), before.rfind("."), before.rfind(">")) + 1 :]
    return (len(line) < _FIRST_IN_LINE or place < _FIRST_IN_LINE) and not any(mark.isalnum() for mark in line)
