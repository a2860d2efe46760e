"""Location: finding in a stored text the span that a quote was copied from."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

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
