"""Edits: one piece of a text is replaced, if it stands there once; otherwise a clear word on where it may be."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from signoff.errors import FileRefused
from signoff.tools.files.text import FileText

_SHOWN: Final = 5
_COMPARED: Final = 20_000
"""Lines that are compared to find the one that was meant."""


def replace_once(found: FileText, old: str, new: str, path: str) -> str:
    """The text with `old`, which must stand in it once, replaced by `new`; in a file with CRLF both are given it."""
    if not old:
        raise FileRefused(path, "it exists, and an empty old text creates a file. Give the text to be replaced.")
    if old == new:
        raise FileRefused(path, "the old text and the new one are the same.")
    if found.line_ends == "\r\n" and "\r\n" not in old:
        windows = with_line_ends(old, "\r\n")
        if windows in found.text:
            old = windows
        new = with_line_ends(new, "\r\n")
    places = _places(found.text, old)
    if len(places) == 1:
        return found.text[: places[0]] + new + found.text[places[0] + len(old) :]
    if places:
        lines = ", ".join(str(found.text.count("\n", 0, place) + 1) for place in places[:_SHOWN])
        more = " and more" if len(places) > _SHOWN else ""
        raise FileRefused(
            path, f"the old text stands in {len(places)} places: lines {lines}{more}. Give more of what is around it."
        )
    raise FileRefused(path, f"the old text is not in it.{_near(found.text, old)}")


def with_line_ends(text: str, line_end: str) -> str:
    """The text with this line end in every line."""
    return text.replace("\r\n", "\n").replace("\n", line_end)


def _places(text: str, piece: str) -> list[int]:
    """Where it stands, places that overlap as well."""
    places = []
    place = text.find(piece)
    while place >= 0:
        places.append(place)
        place = text.find(piece, place + 1)
    return places


def _near(text: str, old: str) -> str:
    """The lines that were probably meant, as they are."""
    lines, wanted = text.splitlines(), [line for line in old.splitlines() if line.strip()]
    if not wanted:
        return " Read the file again."
    plain = ["".join(line.split()) for line in lines]
    first = "".join(wanted[0].split())
    at = [number for number, line in enumerate(plain) if line == first]
    if not at:
        close = get_close_matches(first[:500], plain[:_COMPARED], n=_SHOWN, cutoff=0.6)
        at = sorted({plain.index(line) for line in close})
    if not at:
        return " No line is like its first. Read the file again."
    if len(wanted) == 1 or len(at) > 1:
        shown = "; ".join(f"line {number + 1} is {lines[number][:200]!r}" for number in at[:_SHOWN])
        return f" Near misses: {shown}. Copy blanks and line ends as they are."
    for offset, line in enumerate(old.splitlines()[old.splitlines().index(wanted[0]) :]):
        here = lines[at[0] + offset] if at[0] + offset < len(lines) else "(the end of the file)"
        if here != line:
            return (
                f" From line {at[0] + 1} it is alike; line {at[0] + offset + 1} is {here[:200]!r}, not {line[:200]!r}."
            )
    return f" It is alike from line {at[0] + 1}, but for its line ends. Read the file again."
