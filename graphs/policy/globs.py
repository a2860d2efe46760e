"""Globs: shapes of texts, such as `reports/**/*.md`, and the texts that may mean something else than they show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_TRICKS = (
    (re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"), "a line break or control character"),
    (re.compile(r"\\"), "a backslash"),
    (re.compile(r"(?:\A|/)\.\.?(?:/|\Z)"), "a '.' or '..' step"),
    (re.compile(r"//|/\Z"), "an empty step"),
)
"""What makes a text another path, or another line, to whoever reads it. Letters that only look alike are left alone."""


def trick_in(text: str) -> str:
    """What may make the text mean another than it shows, in words; empty if nothing does."""
    return next((words for trick, words in _TRICKS if trick.search(text)), "")


@lru_cache(maxsize=1024)
def compile_glob(glob: str) -> Glob:
    """The glob, ready to be held against texts."""
    tokens = re.findall(r"(?:\A|(?<=/))(?=\*\*/)|\*\*|.", glob)  # an empty one before each `**/` that can be left out
    places = {token: sum(1 << place for place, found in enumerate(tokens) if found == token) for token in set(tokens)}
    single, within, across, optional = (places.pop(token, 0) for token in ("?", "*", "**", ""))
    return Glob(places, single, within, across, optional, 1 << len(tokens))


@dataclass(frozen=True)
class Glob:
    """A glob as sets of places in it, one bit each, so that time grows with the text only and never explodes."""

    letters: dict[str, int]
    """Places that want this letter."""
    single: int
    """Places of `?`."""
    within: int
    """Places of `*`."""
    across: int
    """Places of `**`."""
    optional: int
    """Places before a `**/` that can be left out."""
    end: int

    def accepts(self, text: str) -> bool:
        """Whether the whole text has this shape."""
        places = self._spread(1)
        for letter in text:
            inner = 0 if letter == "/" else -1
            stay = places & (self.across | self.within & inner)
            move = places & (self.letters.get(letter, 0) | self.single & inner)
            places = self._spread(stay | move << 1)
        return bool(places & self.end)

    def _spread(self, places: int) -> int:
        """These places, and those reached from them without a letter."""
        reached = 0
        while places != reached:
            reached = places
            skipped = places & self.optional
            places |= (places & (self.within | self.across)) << 1 | skipped << 1 | skipped << 3
        return places
