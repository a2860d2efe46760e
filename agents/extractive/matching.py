"""The words of a piece of text, ready to be looked up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from signoff.agents.extractive import text as words
from signoff.agents.extractive.question import Term

RELATED = 0.7
"""What a word of the same family is worth, beside the word itself."""
_PART = 0.5
"""What the last part of a program's name is worth, beside the whole name."""
_NEAR, _TOGETHER = 0.6, 0.25
"""What the words of a phrase are worth when they stand near each other, or anywhere in the same text."""
_REACH = 4
_HYPHENED = re.compile(r"\b([a-z]+)-([a-z]{2,})\b")
_CAMEL = re.compile(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b")
_VERSION = re.compile(r"\bv(\d+)\b", re.IGNORECASE)
_AT_MOST = re.compile(
    r"\b(?:up to|at most|no more than|not more than) (?=[\d$€£]|one\b|two\b|three\b|five\b|ten\b)", re.IGNORECASE
)
_CAMEL_PART = re.compile(r"[A-Z][a-z]+")


@dataclass(frozen=True)
class WordIndex:
    """The words of a piece of text."""

    order: tuple[str, ...]
    """Stems in order, stop words included."""
    stems: frozenset[str]
    roots: frozenset[str]

    def holds(self, term: Term) -> float:
        """1 if the word is here, less if only one of its family is, else 0."""
        if " " in term.stem:
            parts = term.stem.split()
            return 1.0 if self.phrase(parts) == 1 else _PART if parts[-1] in self.stems else 0.0
        if term.stem in self.stems:
            return 1.0
        return RELATED if term.root in self.roots else 0.0

    def phrase(self, phrase: Sequence[str]) -> float:
        """1 if the words stand side by side here, less if they are only near each other, else 0."""
        if not self.stems.issuperset(phrase):
            return 0.0
        places = [[i for i, stem in enumerate(self.order) if stem == part] for part in phrase]
        if any(all(first + n in later for n, later in enumerate(places)) for first in places[0]):
            return 1.0
        near = any(all(any(abs(i - first) <= _REACH for i in later) for later in places[1:]) for first in places[0])
        return _NEAR if near else _TOGETHER


@lru_cache(maxsize=4096)
def word_index(text: str) -> WordIndex:
    """The words of this text."""
    found = words.tokens(text)
    carrying = {word for word in found if words.carries_meaning(word)}
    carrying.update(first + second for first, second in _HYPHENED.findall(text.lower()))
    carrying.update(part.lower() for name in _CAMEL.findall(text) for part in _CAMEL_PART.findall(name))
    for number in _VERSION.findall(text):
        carrying.update(("version", number))  # "v2" is how titles write "version 2".
    if _AT_MOST.search(text):
        carrying.add("limit")
    return WordIndex(
        tuple(words.stem(word) for word in found),
        frozenset(words.stem(word) for word in carrying),
        frozenset(words.root(word) for word in carrying),
    )
